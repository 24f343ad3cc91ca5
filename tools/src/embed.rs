//! `soil embed`: writes the files of a directory as an OCaml module that registers them at program
//! start.
//!
//! The module's strings are static data of the executable, so neither starting nor reading a file
//! copies them. Output is reproducible: entries are sorted, and the module contains no times.

use crate::failure::{Context as _, Failure};
use crate::progress;
use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The longest name that Soil's file systems have, in bytes.
const MAX_NAME: usize = 255;
/// Approximate line length of the module, in characters.
const LINE: usize = 4000;

/// An entry of the volume: a path relative to the mount point, and the index of its file, `None`
/// for directories.
type Entry = (String, Option<usize>);

/// A directory's files and their paths.
#[derive(Debug, Default)]
struct Tree {
    entries: Vec<Entry>,
    /// The files without duplicates: hard links share one.
    files: Vec<PathBuf>,
    known: HashMap<(u64, u64), usize>,
    /// The directories above the current one, to detect symbolic links that form a loop.
    above: Vec<(u64, u64)>,
}

fn identity(known: &Metadata) -> (u64, u64) {
    (known.dev(), known.ino())
}

impl Tree {
    fn add_directory(&mut self, directory: &Path, prefix: &str) -> Result<(), Failure> {
        let known = fs::metadata(directory).on(directory)?;
        if self.above.contains(&identity(&known)) {
            return Err(Failure::on(
                directory,
                "a symbolic link leads back to a directory above it",
            )
            .remedy("remove it"));
        }
        self.above.push(identity(&known));
        let mut names = fs::read_dir(directory)
            .and_then(|entries| {
                entries
                    .map(|entry| Ok(entry?.file_name()))
                    .collect::<io::Result<Vec<_>>>()
            })
            .on(directory)?;
        names.sort();
        if names.is_empty() && !prefix.is_empty() {
            self.entries.push((prefix.to_owned(), None));
        }
        for name in names {
            let path = directory.join(&name);
            let Some(name) = name.to_str().filter(|name| name.len() <= MAX_NAME) else {
                return Err(Failure::on(path, "the name isn't UTF-8").remedy("rename it"));
            };
            let known = fs::metadata(&path).map_err(|error| match fs::read_link(&path) {
                Ok(target) => Failure::on(&path, format!("links to {}: {error}", target.display())),
                Err(_) => Failure::on(&path, error),
            })?;
            if known.is_dir() {
                self.add_directory(&path, &format!("{prefix}{name}/"))?;
            } else if known.is_file() {
                let next = self.files.len();
                let file = *self.known.entry(identity(&known)).or_insert(next);
                if file == next {
                    self.files.push(path);
                }
                self.entries.push((format!("{prefix}{name}"), Some(file)));
            } else {
                return Err(Failure::on(path, "neither a file nor a directory").remedy("remove it"));
            }
        }
        self.above.pop();
        Ok(())
    }
}

/// Writes bytes as the contents of an OCaml string literal.
struct Literal<'a, W> {
    to: &'a mut W,
    column: usize,
}

impl<W: Write> Literal<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            let mut starts_line = false;
            if self.column >= LINE {
                // OCaml skips the blanks at the start of the next line.
                self.to.write_all(b"\\\n")?;
                self.column = 0;
                starts_line = true;
            }
            self.column += match *byte {
                quoted @ (b'"' | b'\\') => self.to.write_all(&[b'\\', quoted]).map(|()| 2)?,
                b'\n' => self.to.write_all(b"\\n").map(|()| 2)?,
                b' ' if !starts_line => self.to.write_all(b" ").map(|()| 1)?,
                plain @ b'!'..=b'~' => self.to.write_all(&[plain]).map(|()| 1)?,
                other => write!(self.to, "\\x{other:02x}").map(|()| 4)?,
            };
        }
        Ok(())
    }
}

fn quoted(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut literal = Literal {
        to: &mut bytes,
        column: 0,
    };
    // Writing to memory doesn't fail.
    let _ = literal.write(text.as_bytes());
    format!("\"{}\"", String::from_utf8_lossy(&bytes))
}

fn write_file(path: &Path, to: &mut impl Write) -> Result<(), Failure> {
    let mut file = BufReader::new(File::open(path).on(path)?);
    let mut literal = Literal { to, column: 0 };
    let mut piece = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut piece).on(path)?;
        let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        literal.write(bytes).map_err(no_output)?;
    }
}

fn no_output(error: io::Error) -> Failure {
    Failure::new(format!("the module can't be written: {error}"))
}

/// Writes the module for `directory`. The program finds its files at `at`, by default `/` and the
/// directory's name.
pub fn run(directory: &Path, at: Option<&str>, to: &mut impl Write) -> Result<(), Failure> {
    let known = fs::metadata(directory).on(directory)?;
    if !known.is_dir() {
        return Err(Failure::on(directory, "not a directory"));
    }
    let at = match at {
        Some(at) => at.to_owned(),
        None => default_mount(directory)?,
    };
    let mut tree = Tree::default();
    tree.add_directory(directory, "")?;
    // The order that the volume searches by: bytewise, with each directory's files together.
    tree.entries.sort();
    let bar = progress::count("embedding", tree.files.len());
    let text = |text: String, to: &mut dyn Write| to.write_all(text.as_bytes()).map_err(no_output);
    text(
        "(* Made by soil embed: files that are part of the program. *)\n".into(),
        to,
    )?;
    for (number, path) in tree.files.iter().enumerate() {
        text(format!("let f{number} = \""), to)?;
        write_file(path, to)?;
        text("\"\n".into(), to)?;
        bar.inc(1);
    }
    text(
        format!("let () = Soil.Embedded.register ~at:{} [|\n", quoted(&at)),
        to,
    )?;
    for (path, file) in &tree.entries {
        let contents = file.map_or("\"\"".to_owned(), |number| format!("f{number}"));
        text(format!("  ({}, {contents});\n", quoted(path)), to)?;
    }
    text("|]\n".into(), to)?;
    bar.finish_and_clear();
    to.flush().map_err(no_output)
}

/// The default mount point: `/` and the directory's name.
fn default_mount(directory: &Path) -> Result<String, Failure> {
    let whole = fs::canonicalize(directory).on(directory)?;
    let name = whole.file_name().and_then(|name| name.to_str());
    name.map(|name| format!("/{name}")).ok_or_else(|| {
        Failure::on(directory, "has no name to mount it at").remedy("say --at /PATH")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::symlink;

    fn module(directory: &Path) -> Result<String, Failure> {
        let mut bytes = Vec::new();
        run(directory, Some("/www"), &mut bytes)?;
        Ok(String::from_utf8(bytes).expect("ASCII"))
    }

    fn scratch(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        for (path, contents) in files {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().expect("inside")).expect("made");
            fs::write(path, contents).expect("written");
        }
        directory
    }

    #[test]
    fn entries_are_sorted_and_files_shared() {
        let directory = scratch(&[("b/x", b"one"), ("a", b"two\n"), ("b-c", b"")]);
        fs::create_dir(directory.path().join("empty")).expect("made");
        symlink("b/x", directory.path().join("link")).expect("made");
        symlink("b", directory.path().join("twice")).expect("made");
        let text = module(directory.path()).expect("embedded");
        let entries = text.split_once("[|\n").expect("registered").1;
        assert_eq!(
            entries,
            "  (\"a\", f0);\n  (\"b-c\", f2);\n  (\"b/x\", f1);\n  (\"empty/\", \"\");\n  \
            (\"link\", f1);\n  (\"twice/x\", f1);\n|]\n"
        );
        assert!(text.contains("let f0 = \"two\\n\"\n") && text.contains("~at:\"/www\""));
        assert_eq!(module(directory.path()).expect("again"), text);
    }

    #[test]
    fn what_cannot_be_embedded_is_named() {
        let directory = scratch(&[("d/a", b"")]);
        symlink("..", directory.path().join("d/up")).expect("made");
        let error = module(directory.path()).expect_err("a loop").to_string();
        assert!(
            error.contains("d/up") && error.contains("leads back"),
            "{error}"
        );
        fs::remove_file(directory.path().join("d/up")).expect("removed");
        symlink("nowhere", directory.path().join("dangling")).expect("made");
        let error = module(directory.path()).expect_err("dangling").to_string();
        assert!(
            error.contains("dangling") && error.contains("nowhere"),
            "{error}"
        );
        let error = module(&directory.path().join("d/a"))
            .expect_err("a file")
            .to_string();
        assert!(error.contains("not a directory"), "{error}");
        let error = module(&directory.path().join("none"))
            .expect_err("nothing")
            .to_string();
        assert!(error.contains("none"), "{error}");
    }

    #[test]
    fn the_mount_point_is_the_directorys_name() {
        let directory = scratch(&[("www/a", b"")]);
        let mut bytes = Vec::new();
        run(&directory.path().join("www/"), None, &mut bytes).expect("embedded");
        assert!(String::from_utf8_lossy(&bytes).contains("~at:\"/www\""));
    }

    /// Decodes a literal as OCaml's lexer does.
    fn read(literal: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = literal.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            if *first != b'\\' {
                bytes.push(*first);
                continue;
            }
            let (escape, after) = rest.split_first().expect("an escape");
            rest = after;
            match escape {
                b'n' => bytes.push(b'\n'),
                b'x' => {
                    let digits = std::str::from_utf8(&rest[..2]).expect("digits");
                    bytes.push(u8::from_str_radix(digits, 16).expect("digits"));
                    rest = &rest[2..];
                }
                b'\n' => rest = rest.trim_ascii_start(),
                quoted => bytes.push(*quoted),
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn literals_say_every_byte(
            bytes in prop::collection::vec(any::<u8>(), 0..3 * LINE),
            blanks in any::<bool>(),
        ) {
            let bytes: Vec<u8> = if blanks { vec![b' '; bytes.len()] } else { bytes };
            let mut written = Vec::new();
            Literal { to: &mut written, column: 0 }.write(&bytes).expect("written");
            let text = String::from_utf8(written).expect("ASCII");
            prop_assert!(text.lines().all(|line| line.len() <= LINE + 8));
            prop_assert_eq!(read(&text), bytes);
        }
    }
}
