//! Parses the driver's arguments: those of a C compiler, as OCaml's compilers pass them.

use crate::failure::{Context as _, Failure};
use std::ffi::OsString;
use std::mem;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// An input of the link.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// The path of an object or archive.
    File(PathBuf),
    /// `-lNAME`.
    Library(String),
}

impl Item {
    /// Whether this is the library `name`, by path or by `-l`.
    pub fn is_library(&self, name: &str) -> bool {
        match self {
            Self::Library(library) => library == name,
            Self::File(path) => path
                .file_name()
                .is_some_and(|file| file == format!("lib{name}.a").as_str()),
        }
    }
}

/// The arguments of a link.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// `-o`.
    pub output: Option<PathBuf>,
    /// `-L`, in order.
    pub directories: Vec<PathBuf>,
    /// Objects, archives and libraries, in order.
    pub items: Vec<Item>,
    /// Linker options that apply to images.
    pub linker_options: Vec<OsString>,
    /// `-v`: show the command.
    pub verbose: bool,
}

/// The parsed arguments.
#[derive(Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Compile, with these arguments for the C compiler.
    Compile(Vec<OsString>),
    /// Link a program.
    Link(Link),
}

/// Options that select the C compiler.
const COMPILE: [&[u8]; 6] = [b"-c", b"-S", b"-E", b"-M", b"-MM", b"-shared"];
/// The suffix of `ocamlopt -shared`'s output. With `-cc` the option itself isn't passed.
const PLUGIN: &[u8] = b".cmxs";
/// Options with a separate value, ignored for linking.
const WITH_VALUE: [&[u8]; 8] = [
    b"-x",
    b"-I",
    b"-D",
    b"-U",
    b"-isystem",
    b"-include",
    b"-arch",
    b"-T",
];

/// Parses the arguments. Expands `@FILE`, which `ocamlopt` uses for long command lines.
pub fn parse(arguments: Vec<OsString>) -> Result<Invocation, Failure> {
    let arguments = expand(arguments)?;
    if arguments
        .iter()
        .any(|argument| COMPILE.contains(&argument.as_bytes()))
    {
        return Ok(Invocation::Compile(arguments));
    }
    // `dune build` builds a plugin for every library; images don't use them.
    if arguments
        .iter()
        .any(|argument| argument.as_bytes().ends_with(PLUGIN))
    {
        return Ok(Invocation::Compile(
            [vec!["-shared".into()], arguments].concat(),
        ));
    }
    let is_source = |argument: &OsString| {
        [&b".c"[..], b".S", b".cc", b".cpp", b".cxx"]
            .iter()
            .any(|end| argument.as_bytes().ends_with(end))
    };
    if let Some(source) = arguments.iter().find(|argument| is_source(argument)) {
        return Err(
            Failure::on(source, "a source file").remedy("compile it with -c first, then link")
        );
    }
    if arguments.is_empty()
        || arguments
            .iter()
            .all(|argument| argument == "--version" || argument == "-v")
    {
        return Ok(Invocation::Compile(arguments));
    }
    let mut link = Link::default();
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        link.add(argument, &mut rest)?;
    }
    Ok(Invocation::Link(link))
}

impl Link {
    fn add(
        &mut self,
        argument: OsString,
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), Failure> {
        let bytes = argument.as_bytes();
        let attached = |prefix: &[u8]| {
            bytes
                .strip_prefix(prefix)
                .map(|value| OsString::from_vec(value.to_vec()))
        };
        let mut value = |prefix: &[u8]| -> Result<Option<OsString>, Failure> {
            match attached(prefix) {
                Some(value) if value.is_empty() => match rest.next() {
                    Some(value) => Ok(Some(value)),
                    None => Err(Failure::on(&argument, "needs a value")),
                },
                other => Ok(other),
            }
        };
        if bytes == b"-v" || bytes == b"-verbose" {
            self.verbose = true;
        } else if let Some(options) = attached(b"-Wl,") {
            self.linker_options(&options);
        } else if WITH_VALUE.contains(&bytes) {
            value(bytes)?;
        } else if bytes.starts_with(b"-o") {
            self.output = value(b"-o")?.map(PathBuf::from);
        } else if bytes.starts_with(b"-L") {
            self.directories.extend(value(b"-L")?.map(PathBuf::from));
        } else if bytes.starts_with(b"-l") {
            let name = value(b"-l")?.unwrap_or_default();
            self.items
                .push(Item::Library(name.to_string_lossy().into_owned()));
        } else if !bytes.starts_with(b"-") {
            self.items.push(Item::File(argument.into()));
        }
        // The other options affect only the C compiler, such as optimization, warnings,
        // -pthread and -shared-libgcc.
        Ok(())
    }

    /// The symbols that `-u` and `--undefined` refer to.
    pub fn undefined(&self) -> Vec<&str> {
        let options = self.linker_options.iter().filter_map(|word| word.to_str());
        let mut previous = "";
        let symbols = options.filter_map(|word| {
            let is_value = matches!(mem::replace(&mut previous, word), "-u" | "--undefined");
            if is_value {
                Some(word)
            } else {
                word.strip_prefix("--undefined=")
            }
        });
        symbols.collect()
    }

    /// Keeps the linker options that select symbols, and those that leave out debugging
    /// information; the layout and link mode are fixed.
    fn linker_options(&mut self, options: &OsString) {
        const KEPT: [&[u8]; 10] = [
            b"--defsym",
            b"--wrap",
            b"--undefined",
            b"-u",
            b"--whole-archive",
            b"--no-whole-archive",
            b"--allow-multiple-definition",
            b"-Map",
            b"--strip-debug",
            b"-S",
        ];
        let mut words = options.as_bytes().split(|byte| *byte == b',').peekable();
        while let Some(word) = words.next() {
            let name = word.split(|byte| *byte == b'=').next().unwrap_or(word);
            if KEPT.contains(&name) {
                self.linker_options.push(OsString::from_vec(word.to_vec()));
                let takes_next = matches!(name, b"-u" | b"--undefined" | b"-Map") && word == name;
                if takes_next && let Some(next) = words.next() {
                    self.linker_options.push(OsString::from_vec(next.to_vec()));
                }
            }
        }
    }
}

/// Replaces `@FILE` with the words in it, which OCaml's compilers quote for a shell.
fn expand(arguments: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    let mut all = Vec::new();
    for argument in arguments {
        match argument.as_bytes().strip_prefix(b"@") {
            Some(name) => {
                let path = PathBuf::from(OsString::from_vec(name.to_vec()));
                let text = std::fs::read(&path).on(&path)?;
                let words = shlex::bytes::split(&text);
                let words = words.ok_or_else(|| Failure::on(&path, "a quote isn't closed"))?;
                all.extend(words.into_iter().map(OsString::from_vec));
            }
            None => all.push(argument),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::{Invocation, Item, Link, parse};
    use std::ffi::OsString;

    fn arguments(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn understands_what_ocamlopt_says() {
        let call = "-O2 -fno-strict-aliasing -fwrapv -pthread -Wall -Wl,-E -o main.exe -L. \
                    -L /lib/ocaml -I /include start.o stdlib.a -lunixnat libasmrun.a -lm -lpthread";
        let Ok(Invocation::Link(link)) = parse(arguments(&call.replace("  ", " "))) else {
            panic!()
        };
        assert_eq!(link.output, Some("main.exe".into()));
        assert_eq!(
            link.directories,
            ["/lib/ocaml", "."]
                .map(std::path::PathBuf::from)
                .into_iter()
                .rev()
                .collect::<Vec<_>>()
        );
        let file = |name: &str| Item::File(name.into());
        let library = |name: &str| Item::Library(name.into());
        assert_eq!(
            link.items,
            [
                file("start.o"),
                file("stdlib.a"),
                library("unixnat"),
                file("libasmrun.a"),
                library("m"),
                library("pthread")
            ]
        );
        assert!(link.linker_options.is_empty());
    }

    #[test]
    fn keeps_what_chooses_symbols_and_debugging_information() {
        let call = "-Wl,-z,now,--wrap=f,-u,g,--strip-debug a.o";
        let Ok(Invocation::Link(link)) = parse(arguments(call)) else {
            panic!()
        };
        assert_eq!(
            link.linker_options,
            ["--wrap=f", "-u", "g", "--strip-debug"]
        );
        assert!(link.undefined() == ["g"]);
        assert_eq!(link.items, [Item::File("a.o".into())]);
    }

    #[test]
    fn knows_the_symbols_that_options_refer_to() {
        let call = "-Wl,-u,f,--undefined=g -Wl,--undefined,h,--wrap=i,-u";
        let Ok(Invocation::Link(link)) = parse(arguments(call)) else {
            panic!()
        };
        assert!(link.undefined() == ["f", "g", "h"]);
    }

    #[test]
    fn leaves_compiling_to_the_compiler() {
        let call = arguments("-O2 -c stub.c -o stub.o");
        assert_eq!(parse(call.clone()), Ok(Invocation::Compile(call)));
        let plugin = parse(arguments("-o x.cmxs x.o"));
        assert_eq!(
            plugin,
            Ok(Invocation::Compile(arguments("-shared -o x.cmxs x.o")))
        );
        let plugin = parse(arguments("-o x.cmxs x.o"));
        let shared = arguments("-shared -o x.cmxs x.o");
        assert_eq!(plugin, Ok(Invocation::Compile(shared)));
        assert!(parse(arguments("stub.c -o x")).is_err());
        assert!(parse(arguments("-o")).is_err());
    }

    #[test]
    fn finds_a_library_by_either_name() {
        let link = Link {
            items: vec![
                Item::File("/x/libcamlrun.a".into()),
                Item::Library("z".into()),
            ],
            ..Link::default()
        };
        assert!(link.items[0].is_library("camlrun") && link.items[1].is_library("z"));
        assert!(!link.items[0].is_library("z"));
    }

    #[test]
    fn reads_response_files() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().display();
        std::fs::write(file.path(), "a.o 'b c.o'\n\"d\\\"e\" f\\ g").unwrap();
        let Ok(Invocation::Link(link)) = parse(vec![format!("@{path}").into()]) else {
            panic!()
        };
        let files = ["a.o", "b c.o", "d\"e", "f g"];
        assert_eq!(link.items, files.map(|file| Item::File(file.into())));
        std::fs::write(file.path(), "'a").unwrap();
        assert!(parse(vec![format!("@{path}").into()]).is_err());
    }
}
