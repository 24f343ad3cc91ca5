//! The link driver that `ocamlopt -cc soil-cc` runs instead of the C compiler.
//!
//! Links the objects that `ocamlopt` passes, musl and the image archive (kernel and Soil's Rust
//! side) into an ELF file, which boots by PVH on x86-64. Passes compile commands to the C compiler
//! unchanged.

mod arguments;
mod diagnose;
mod layout;
mod libraries;
mod parts;

use crate::arch::Arch;
use crate::failure::{Context as _, Failure};
use crate::{installed, stand_in};
use arguments::{Invocation, Item};
use layout::Unwinding;
use libraries::{Musl, Search};
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The archive with the kernel and Soil's Rust side.
const ARCHIVE: &str = "libsoil_image.a";
/// The static library that a process links; an image links the archive instead.
const PROCESS_LIBRARY: &str = "soil_sys";
/// A library of the bytecode runtime, which shows that the program isn't native.
const BYTECODE_LIBRARY: &str = "camlrun";

/// The libraries of C++: GCC's, or the part of it for the language alone.
const CXX_LIBRARIES: [&str; 2] = ["stdc++", "supc++"];
/// musl's functions whose locales lack the tables that C++ reads: the image's are in
/// `libc-compat/src/glibc/cxx.rs`.
const CXX_WRAPPED: [&str; 3] = ["__newlocale", "__duplocale", "__freelocale"];
/// musl's functions to which GCC's unwinder refers weakly, as a part of glibc that a program may
/// lack: it calls all of them if one is there.
const CXX_WEAK: [&str; 6] = [
    "pthread_getspecific",
    "pthread_key_create",
    "pthread_mutex_lock",
    "pthread_mutex_unlock",
    "pthread_once",
    "pthread_setspecific",
];

/// Environment variable. With `report`, which `soil init` sets, a program that doesn't use Soil and
/// can't be linked doesn't fail the build.
const UNLINKABLE: &str = "SOIL_UNLINKABLE";
/// The remedy for a program of a dune project that needs no image.
const REMEDY: &str = "a program that is to have no image: add (enabled_if (<> %{context_name} \
    soil)) to its stanza in the dune file";

/// The reason why no image was linked.
enum NoImage {
    /// Files that every image needs are missing.
    Setup(Failure),
    /// The program contains something that an image can't.
    Program(Failure),
}

impl From<Failure> for NoImage {
    fn from(failure: Failure) -> Self {
        Self::Setup(failure)
    }
}

/// Writes a line to standard error. Ignores errors: `eprintln!` would panic where the reader of a
/// pipe has gone.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "soil-cc: {text}");
}

/// Runs the driver, prints errors, and returns the exit status.
pub fn run(arguments: Vec<OsString>) -> u8 {
    let result = match arguments::parse(arguments) {
        Ok(Invocation::Compile(arguments)) => compile(&arguments),
        Ok(Invocation::Link(link)) => {
            warn_of_unknown_variables();
            link.run()
        }
        Err(error) => Err(error),
    };
    match result {
        Ok(status) => status,
        Err(failure) => {
            say(&format!("error: {failure}"));
            1
        }
    }
}

/// Names the variables that were probably meant for this driver.
fn warn_of_unknown_variables() {
    for (name, _) in std::env::vars_os() {
        if let Some(name) = name.to_str()
            && let Some(unknown) = configuration::unknown(name)
            && unknown
                .meant
                .is_some_and(|meant| configuration::OF_COMMANDS.contains(&meant))
        {
            say(&format!("warning: unknown variable {name}{unknown}"));
        }
    }
}

/// The C compiler for compile commands.
fn compiler(arch: Arch) -> OsString {
    std::env::var_os("SOIL_CC").unwrap_or_else(|| arch.tool("gcc"))
}

fn compile(arguments: &[OsString]) -> Result<u8, Failure> {
    let named = arguments.iter().rev().map(Path::new);
    let arch = named
        .filter(|path| is_archive(path))
        .find_map(Arch::of_file);
    let arch = arch.unwrap_or(Arch::HOST);
    let compiler = compiler(arch);
    // OCaml's compilers pass the archive with every command, because of -ccopt.
    let arguments = arguments
        .iter()
        .filter(|argument| !is_archive(Path::new(argument)));
    let status = Command::new(&compiler)
        .args(arguments)
        .status()
        .map_err(|error| {
            Failure::new(format!("can't run {}: {error}", compiler.display())).remedy(format!(
                "install {} or name a C compiler in SOIL_CC",
                arch.package("gcc")
            ))
        })?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1))
}

impl arguments::Link {
    fn run(self) -> Result<u8, Failure> {
        if self
            .items
            .iter()
            .any(|item| item.is_library(BYTECODE_LIBRARY))
        {
            return self.stand_in(
                "an OCaml bytecode program has no image form: build the .exe (native) of it",
            );
        }
        let uses_soil = self
            .items
            .iter()
            .any(|item| item.is_library(PROCESS_LIBRARY));
        match self.link() {
            Ok(()) => Ok(0),
            Err(NoImage::Setup(failure)) => Err(failure),
            Err(NoImage::Program(failure)) => {
                let spared = std::env::var_os(UNLINKABLE).is_some_and(|value| value == "report");
                if uses_soil || !spared {
                    return Err(Failure::new(format!("{failure}\nsoil-cc: {REMEDY}")));
                }
                let name = self.output().display().to_string();
                say(&format!("warning: {name} has no image form: {failure}"));
                say(REMEDY);
                self.stand_in(&format!("has no image form: {failure}"))
            }
        }
    }

    fn unwinding(&self) -> Unwinding {
        let is_cxx = |item: &Item| CXX_LIBRARIES.iter().any(|name| item.is_library(name));
        match self.items.iter().any(is_cxx) {
            true => Unwinding::Cxx,
            false => Unwinding::None,
        }
    }

    fn output(&self) -> PathBuf {
        self.output.clone().unwrap_or_else(|| "a.out".into())
    }

    fn link(&self) -> Result<(), NoImage> {
        let output = self.output();
        // A failed link must not leave a file that looks like its result.
        let _ = std::fs::remove_file(&output);
        let archive = self.archive()?;
        let arch = self.architecture(&archive)?;
        let musl = Musl::find(arch)?;
        let compiler = compiler(arch);
        let search = Search::new(arch, &self.directories, &musl, &compiler);
        let unwinding = self.unwinding();
        let mut command = Command::new(arch.tool("ld"));
        command.args([
            "-static",
            "-nostdlib",
            "--gc-sections",
            "--build-id=sha1",
            "-z",
            "noexecstack",
        ]);
        command.args([
            "-z",
            "norelro",
            "-z",
            "max-page-size=4096",
            "--no-warn-rwx-segments",
        ]);
        command.args([
            match arch {
                Arch::X86_64 => "--require-defined=soil_pvh_start",
                Arch::Aarch64 => "--require-defined=soil_image_entry",
            },
            match unwinding {
                Unwinding::Cxx => "--eh-frame-hdr",
                Unwinding::None => "--no-eh-frame-hdr",
            },
            "--no-warn-mismatch",
        ]);
        if unwinding == Unwinding::Cxx {
            command.args(CXX_WRAPPED.map(|function| format!("--wrap={function}")));
            command.args(CXX_WEAK.map(|function| format!("--undefined={function}")));
        }
        let script = Script::write(&output, layout::script(arch, unwinding))?;
        command.arg("-T").arg(&script.0).arg("-o").arg(&output);
        command.args(&self.linker_options);
        command.arg(musl.file("crt1.o")).arg(musl.file("crti.o"));
        let mut inputs: Vec<PathBuf> = Vec::new();
        for item in &self.items {
            match item {
                Item::File(path) if is_archive(path) => {}
                Item::File(path) => inputs.push(path.clone()),
                Item::Library(name) if name == PROCESS_LIBRARY => {}
                Item::Library(name) => {
                    inputs.extend(search.find(name).map_err(NoImage::Program)?);
                }
            }
        }
        let paths = || inputs.iter().map(PathBuf::as_path);
        let parts = parts::wanted_by(paths(), &self.undefined());
        // See libc-compat/src/resolver.rs.
        command.args(["--wrap=__lookup_name", "--wrap=__res_msend"]);
        // See libc-compat/src/collector.rs.
        command.arg("--wrap=caml_leave_blocking_section");
        // See libc-compat/src/domains.rs.
        command.arg("--wrap=caml_domain_spawn");
        if self.undefined().contains(&"caml_domain_spawn") {
            // See kernel/src/processors.rs.
            command.arg("--defsym=soil_at_first_thread=1");
        }
        // See libc-compat/src/malloc.rs, which is in front of musl's allocator only.
        if !parts::any_defines_malloc(paths()) {
            for function in ["malloc", "calloc", "free"] {
                command.arg(format!("--wrap={function}"));
                command.arg(format!("--defsym=__wrap_{function}=soil_{function}"));
            }
        }
        for symbol in parts {
            // The linker names a function's replacement `__wrap_` and the function.
            command.arg(match symbol.strip_prefix("__wrap_") {
                Some(function) => format!("--wrap={function}"),
                None => format!("--undefined={symbol}"),
            });
        }
        command.args(&inputs).arg(&archive).arg("--start-group");
        // Repeated in the group, because archives may depend on each other in either order.
        command.args(
            inputs
                .iter()
                .filter(|path| path.extension().is_some_and(|end| end == "a")),
        );
        command
            .arg(musl.file("libc.a"))
            .args(libraries::compiler_runtime(&compiler));
        command.arg("--end-group").arg(musl.file("crtn.o"));
        if self.verbose {
            say(&format!("{command:?}"));
        }
        let result = command.stdin(Stdio::null()).output().map_err(|error| {
            Failure::new(format!("can't run {}: {error}", arch.tool("ld").display()))
                .remedy(format!("apt-get install {}", arch.package("binutils")))
        })?;
        let messages = String::from_utf8_lossy(&result.stderr);
        if result.status.success() {
            diagnose::warnings(&messages).for_each(say);
            return Ok(());
        }
        let _ = std::fs::remove_file(&output);
        let errors = diagnose::errors(&messages);
        Err(NoImage::Program(Failure::new(errors)))
    }

    /// Returns the processor of the image, which is that of its archive and of its objects.
    fn architecture(&self, archive: &Path) -> Result<Arch, Failure> {
        let of_archive = Arch::of_file(archive)
            .ok_or_else(|| Failure::on(archive, "has no objects for a processor that Soil has"))?;
        let first = self.items.iter().find_map(|item| match item {
            Item::File(path) if !is_archive(path) => Some((path, Arch::of_file(path)?)),
            _ => None,
        });
        match first {
            Some((path, other)) if other != of_archive => {
                let archive = archive.display();
                let reason = format!("an object for {other}, and {archive} is for {of_archive}");
                let remedy = format!(
                    "link it in the context {} of dune, or name the archive for {other} in \
                    SOIL_IMAGE_ARCHIVE",
                    other.context()
                );
                Err(Failure::on(path, reason).remedy(remedy))
            }
            _ => Ok(of_archive),
        }
    }

    /// Finds the image archive: the last one among the arguments, since a program's own flags
    /// follow its context's; else the file in `SOIL_IMAGE_ARCHIVE`; else beside this program or
    /// where `make install` puts it. Skips missing files as long as there is another: an
    /// installed library of the context names the one with which it was built.
    fn archive(&self) -> Result<PathBuf, Failure> {
        let named = || {
            self.items.iter().rev().filter_map(|item| match item {
                Item::File(path) if is_archive(path) => Some(path),
                _ => None,
            })
        };
        let named = named()
            .find(|path| path.is_file())
            .or_else(|| named().next())
            .cloned();
        if let Some(path) =
            named.or_else(|| std::env::var_os("SOIL_IMAGE_ARCHIVE").map(PathBuf::from))
        {
            return if path.is_file() {
                Ok(path)
            } else {
                Err(Failure::on(path, "the image archive is missing"))
            };
        }
        let mut places = installed::places(ARCHIVE);
        places.extend(self.directories.iter().map(|folder| folder.join(ARCHIVE)));
        installed::first(&places).map_err(|places| {
            Failure::new(format!(
                "{ARCHIVE} (the kernel and Soil's Rust side) wasn't found in {places}"
            ))
            .remedy("install Soil (make install), or name the file in SOIL_IMAGE_ARCHIVE")
        })
    }

    /// Writes a program that prints why there is no image, so that the workspace still builds.
    /// (Bytecode, for one, can't become an image: it needs a file of its own at run time.)
    fn stand_in(&self, why: &str) -> Result<u8, Failure> {
        let why = why.replace('\'', stand_in::QUOTE);
        let text = [stand_in::BEGINNING, &why, stand_in::END].concat();
        let output = self.output();
        let write = || {
            use std::os::unix::fs::PermissionsExt;
            std::fs::write(&output, &text)?;
            std::fs::set_permissions(&output, std::fs::Permissions::from_mode(0o755))
        };
        write().on(&output)?;
        Ok(0)
    }
}

fn is_archive(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == ARCHIVE)
}

/// The linker script in a temporary file, removed after the link.
struct Script(PathBuf);

impl Script {
    fn write(output: &Path, script: String) -> Result<Self, Failure> {
        let mut name = output.as_os_str().to_owned();
        name.push(format!(".{}.ld", std::process::id()));
        let path = PathBuf::from(name);
        std::fs::write(&path, script).on(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::arguments::{Item, Link};
    use crate::arch::Arch;
    use std::path::PathBuf;

    #[test]
    fn objects_and_archive_are_for_one_processor() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, machine: u8| {
            let mut header = [0_u8; 64];
            header[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
            header[16..20].copy_from_slice(&[1, 0, machine, 0]);
            header[52] = 64;
            let path = folder.path().join(name);
            std::fs::write(&path, header).unwrap();
            path
        };
        let archive = file("libsoil_image.a", 183);
        let architecture = |object| {
            let items = vec![Item::Library("m".into()), Item::File(object)];
            let link = Link {
                items,
                ..Link::default()
            };
            link.architecture(&archive).map_err(|why| why.to_string())
        };
        assert_eq!(architecture(file("a.o", 183)), Ok(Arch::Aarch64));
        let error = architecture(file("b.o", 62)).unwrap_err();
        let words = [
            "b.o: an object for x86_64",
            "is for aarch64",
            "SOIL_IMAGE_ARCHIVE",
        ];
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }

    #[test]
    fn an_archive_of_another_build_is_skipped_unless_it_is_the_only_one() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("libsoil_image.a");
        let absent = PathBuf::from("../install/soil/lib/soil/libsoil_image.a");
        std::fs::write(&archive, "").unwrap();
        let found = |paths: &[&PathBuf]| {
            let items = paths.iter().map(|path| Item::File(path.to_path_buf()));
            let link = Link {
                items: items.collect(),
                ..Link::default()
            };
            link.archive().map_err(|why| why.to_string())
        };
        assert_eq!(found(&[&archive, &absent]), Ok(archive.clone()));
        assert_eq!(found(&[&absent, &archive]), Ok(archive.clone()));
        let error = found(&[&absent]).unwrap_err();
        assert!(error.contains("the image archive is missing"), "{error}");
    }
}
