//! Detects the form of a program's file: a bootable image, a Linux executable, or neither.

use crate::arch::Arch;
use crate::exit_status::NOT_FOUND;
use crate::failure::{Context as _, Failure};
use crate::flat;
use crate::stand_in;
use clap::ValueEnum;
use memchr::memmem;
use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _};
use object::{Endianness, Object as _, ObjectSymbol as _, ReadCache, elf};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The note by which QEMU and Firecracker boot an ELF file directly (Xen's
/// XEN_ELFNOTE_PHYS32_ENTRY).
const PVH_NOTE: elf::NoteType = elf::NoteType(18);

/// The first bytes of a program's answer to the query for its needs: a record separator (RFC 7464)
/// and the start of the object. A program that can answer has them in its data, even after
/// stripping; others aren't queried.
pub const ANSWER: &[u8] = b"\x1e{\"soil_needs\":1,";

/// The maximum size of a link stand-in, in bytes.
const MAX_STAND_IN: u64 = 64 << 10;

/// The form of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// The Linux process.
    Process,
    /// The image, as a virtual machine.
    Image,
}

/// Properties of a program, read from its file.
#[derive(Debug)]
pub struct Program {
    /// Its form.
    pub form: Form,
    /// The processor that it is for.
    pub arch: Arch,
    /// Whether Soil's network is linked in; `None` if the file has no symbols.
    pub network: Option<bool>,
    /// Whether an image has the driver of virtio consoles; `None` if the file has no symbols.
    pub has_console_driver: Option<bool>,
    /// Whether an image can show its console on a display; `None` if the file has no symbols.
    pub shows_console: Option<bool>,
    /// Whether the program answers queries for its needs.
    pub has_needs: bool,
    /// Whether the file has a section table, which `strip` needs.
    pub has_sections: bool,
}

/// Reads the properties from the file.
pub fn inspect(path: &Path) -> Result<Program, Failure> {
    let metadata = std::fs::metadata(path).map_err(|error| {
        let failure = match error.kind() {
            std::io::ErrorKind::NotFound => {
                Failure::on(path, "does not exist").remedy("build it with 'dune build'")
            }
            _ => Failure::on(path, error),
        };
        failure.with_status(NOT_FOUND)
    })?;
    if !metadata.is_file() {
        return Err(Failure::on(path, "not a file").remedy("name the main.exe that dune built"));
    }
    let file = File::open(path).on(path)?;
    if let Some(why) = stands_in(&file) {
        let process = process_form(path);
        return Err(
            Failure::on(path, format!("no image: {why}")).remedy(format!(
                "mend that and run 'dune build', or run the process form, {}",
                process.display()
            )),
        );
    }
    let cache = ReadCache::new(file);
    let neither = |why: &str| {
        let reason = format!("neither a Soil image nor a Linux executable ({why})");
        Failure::on(path, reason)
    };
    let parsed: ElfFile64<'_, Endianness, _> =
        ElfFile64::parse(&cache).map_err(|_| neither("it is no 64-bit ELF file"))?;
    let header = parsed.elf_header();
    let endian = parsed.endian();
    let Some(arch) = Arch::of_machine(header.e_machine(endian)) else {
        return Err(neither(
            "it is for another processor than x86_64 and aarch64",
        ));
    };
    if ![elf::ET_EXEC, elf::ET_DYN].contains(&header.e_type(endian)) {
        return Err(neither("it is an object file"));
    }
    let (owner, kind) = match arch {
        Arch::X86_64 => (&b"Xen"[..], PVH_NOTE),
        Arch::Aarch64 => (flat::OWNER, flat::ENTRY_NOTE),
    };
    let bootable = flat::note(&parsed, &cache, owner, kind).is_some();
    let parts: Vec<_> = path.components().map(|part| part.as_os_str()).collect();
    let in_context = |pair: &[&OsStr]| pair[0] == "_build" && is_context(pair[1]);
    if !bootable && parts.windows(2).any(in_context) {
        let reason = "lies in the image context but cannot boot";
        let remedy = "run 'soil doctor', then 'dune build' again";
        return Err(Failure::on(path, reason).remedy(remedy));
    }
    let has_symbol = |beginnings: &[&str]| {
        let mut symbols = parsed.symbols().peekable();
        symbols.peek().is_some().then(|| {
            let mut names = symbols.filter_map(|symbol| symbol.name().ok());
            names.any(|name| {
                beginnings
                    .iter()
                    .any(|beginning| name.starts_with(beginning))
            })
        })
    };
    // OCaml's literals are in writable data.
    let has_needs = parsed.elf_program_headers().iter().any(|segment| {
        let writable = segment.p_flags(endian).contains(elf::PF_W);
        let holds_answer = |data| memmem::find(data, ANSWER).is_some();
        writable && segment.data(endian, &cache).is_ok_and(holds_answer)
    });
    Ok(Program {
        form: if bootable { Form::Image } else { Form::Process },
        arch,
        network: has_symbol(&["soil_tcp_", "soil_udp_", "soil_net_", "soil_dns_"]),
        has_console_driver: has_symbol(&["soil_with_console"]),
        shows_console: has_symbol(&["soil_use_screen"]),
        has_needs,
        has_sections: header.e_shoff(endian) != 0,
    })
}

/// Returns the reason that soil-cc wrote into a link stand-in, as one line.
fn stands_in(file: &File) -> Option<String> {
    let mut text = Vec::new();
    file.take(MAX_STAND_IN).read_to_end(&mut text).ok()?;
    let text = String::from_utf8(text).ok()?;
    let why = text.strip_prefix(stand_in::BEGINNING)?;
    let why = why.strip_suffix(stand_in::END)?;
    Some(why.replace(stand_in::QUOTE, "'").replace('\n', " "))
}

/// The program's name, for a machine or a container: its file's, or its folder's for dune's usual
/// `main.exe`. Of one in the root of a project, or in its folder `bin` or `src`, the project's.
pub fn name(program: &Path) -> String {
    let path = std::path::absolute(program).unwrap_or_else(|_| program.to_owned());
    let stem = path.file_stem().unwrap_or_default();
    let mut folder = path.parent();
    if let Some(root) = root_of_build(&path) {
        let below = folder.and_then(|folder| folder.strip_prefix(root).ok());
        // `_build`, the context and a folder.
        let mut below = below.into_iter().flat_map(Path::components).skip(2);
        let says_nothing = match (below.next(), below.next()) {
            (None, _) => true,
            (Some(one), None) => one.as_os_str() == "bin" || one.as_os_str() == "src",
            _ => false,
        };
        if says_nothing {
            folder = Some(root);
        }
    }
    let name = match folder.and_then(Path::file_name) {
        Some(folder) if stem == "main" => folder,
        _ => stem,
    };
    name.to_string_lossy().into_owned()
}

/// The folder with the `_build` that a file is in.
pub fn root_of_build(path: &Path) -> Option<&Path> {
    let build = path.ancestors().find(|folder| folder.ends_with("_build"))?;
    build.parent()
}

/// Whether dune builds images in the context of this name.
fn is_context(name: &OsStr) -> bool {
    [Arch::X86_64, Arch::Aarch64]
        .map(Arch::context)
        .iter()
        .any(|context| name == *context)
}

/// The path of the process form of an image.
fn process_form(image: &Path) -> PathBuf {
    let mut in_build = false;
    image
        .components()
        .map(|part| match part.as_os_str() {
            name if std::mem::replace(&mut in_build, name == "_build") && is_context(name) => {
                OsStr::new("default")
            }
            name => name,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Form, inspect, name, process_form};
    use std::io::Write as _;

    #[test]
    fn a_missing_file_names_dune() {
        let failure = inspect("/nowhere/main.exe".as_ref()).expect_err("missing");
        let text = failure.to_string();
        assert_eq!(failure.status, Some(127));
        assert!(text.contains("dune build"), "{text}");
    }

    #[test]
    fn the_probe_is_an_image_and_this_test_is_a_process() {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(&crate::run::kvm::probe_image())
            .expect("written");
        assert_eq!(inspect(file.path()).expect("an ELF").form, Form::Image);
        let this = std::env::current_exe().expect("known");
        let program = inspect(&this).expect("an ELF");
        assert_eq!(
            (program.form, program.network),
            (Form::Process, Some(false))
        );
    }

    #[test]
    fn other_files_are_refused() {
        for content in [
            &b""[..],
            b"#!/bin/sh\n",
            b"\x7fELF\x02\x01\x01",
            &[0x7f; 4096],
        ] {
            let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
            file.write_all(content).expect("written");
            let failure = inspect(file.path()).expect_err("no program");
            let text = failure.to_string();
            assert_eq!(failure.status, None);
            assert!(text.contains("neither"), "{text}");
        }
    }

    #[test]
    fn a_program_has_the_name_of_its_file_or_of_its_folder() {
        for (path, expected) in [
            ("/srv/echo/main.exe", "echo"),
            ("/srv/echo/service.elf", "service"),
            ("/srv/shop/_build/default/main.exe", "shop"),
            ("/srv/shop/_build/soil/main.exe", "shop"),
            ("/srv/shop/_build/default/bin/main.exe", "shop"),
            ("/srv/shop/_build/soil-aarch64/src/main.exe", "shop"),
            ("/srv/shop/_build/default/echo/main.exe", "echo"),
            ("/srv/shop/_build/default/echo/bin/main.exe", "bin"),
            ("/srv/shop/_build/default/bin/service.exe", "service"),
            ("/srv/bin/main.exe", "bin"),
            ("/_build/default/main.exe", "main"),
        ] {
            assert_eq!(name(path.as_ref()), expected, "{path}");
        }
    }

    #[test]
    fn the_process_form_is_in_the_default_context() {
        for (image, process) in [
            ("_build/soil/bin/soil.exe", "_build/default/bin/soil.exe"),
            (
                "/x/_build/soil/soil/main.exe",
                "/x/_build/default/soil/main.exe",
            ),
            ("soil/_build/main.exe", "soil/_build/main.exe"),
            ("_build/soil-none/a.exe", "_build/soil-none/a.exe"),
        ] {
            assert_eq!(process_form(image.as_ref()).as_os_str(), process);
        }
    }

    #[test]
    fn a_cut_off_image_does_not_panic() {
        let image = crate::run::kvm::probe_image();
        for length in 0..image.len() {
            let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
            file.write_all(&image[..length]).expect("written");
            let _ = inspect(file.path());
        }
    }
}
