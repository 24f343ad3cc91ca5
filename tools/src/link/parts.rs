//! The parts of the image archive that only some programs need.
//!
//! OCaml's runtime refers to the functions of all of them, so the linker would keep each in every
//! image. A part is taken in where an object or an archive of the program's own gives reason to.

use std::path::Path;

/// A part, and what shows that a program needs it.
struct Part {
    /// The symbol that makes the linker take it in.
    symbol: &'static str,
    /// OCaml's modules: every object that uses one refers to it, the start-up object among them.
    modules: &'static [&'static [u8]],
    /// Names and texts in objects and archives of C.
    names: &'static [&'static [u8]],
}

const PARTS: [Part; 3] = [
    // The driver of entropy devices.
    Part {
        symbol: "soil_with_entropy",
        modules: &[b"camlStdlib__Random"],
        names: &[b"getrandom", b"getentropy", b"/dev/urandom", b"/dev/random"],
    },
    // Threads of the kernel.
    Part {
        symbol: "soil_with_threads",
        modules: &[],
        names: &[b"pthread_create", b"thrd_create"],
    },
    // Files of the C library.
    Part {
        symbol: "soil_with_files",
        modules: &[],
        names: &[
            // OCaml's library `unix`.
            b"camlUnix",
            b"caml_unix_",
            // Functions of its standard library, called by name, and primitives of `Sys`.
            b"camlStdlib.open_",
            b"camlStdlib__In_channel.with_open",
            b"camlStdlib__Out_channel.with_open",
            b"camlStdlib__Filename.temp_",
            b"camlStdlib__Filename.open_temp",
            b"camlStdlib__Digest.file",
            b"camlStdlib__Scanf.open_in_file",
            b"camlStdlib__Arg.read_",
            b"caml_sys_open",
            b"caml_sys_file_exists",
            b"caml_sys_is_directory",
            b"caml_sys_is_regular_file",
            b"caml_sys_remove",
            b"caml_sys_rename",
            b"caml_sys_chdir",
            b"caml_sys_getcwd",
            b"caml_sys_read_directory",
            b"caml_sys_mkdir",
            b"caml_sys_rmdir",
            // Symbols of the C library, each between two zeros of a table of names.
            b"\0open\0",
            b"\0open64\0",
            b"\0openat\0",
            b"\0creat\0",
            b"\0fopen\0",
            b"\0fopen64\0",
            b"\0freopen\0",
            b"\0fdopen\0",
            b"\0opendir\0",
            b"\0stat\0",
            b"\0stat64\0",
            b"\0lstat\0",
            b"\0fstat\0",
            b"\0access\0",
            b"\0mkdir\0",
            b"\0unlink\0",
            b"\0rename\0",
            b"\0pipe\0",
            b"\0pipe2\0",
            b"\0dup\0",
            b"\0dup2\0",
            b"\0mkstemp\0",
            b"\0tmpfile\0",
        ],
    },
];
/// Archives that refer to parts but give no reason by that.
const RUNTIME: [&str; 4] = ["stdlib.a", "libasmrun.a", "libasmruni.a", "libasmrund.a"];

/// The symbols of the parts that the objects and archives `inputs` give reason to take in.
pub fn wanted_by<'a>(inputs: impl Iterator<Item = &'a Path>) -> Vec<&'static str> {
    let mut wanted = [false; PARTS.len()];
    for input in inputs {
        let name = input.file_name().unwrap_or_default().to_string_lossy();
        if RUNTIME.contains(&&*name) {
            continue;
        }
        let Ok(bytes) = std::fs::read(input) else {
            continue;
        };
        for (wanted, part) in wanted.iter_mut().zip(&PARTS) {
            let modules = part.modules.iter().filter(|_| name.ends_with(".o"));
            let mut reasons = modules.chain(part.names);
            *wanted = *wanted || reasons.any(|reason| contains(&bytes, reason));
        }
    }
    let wanted = PARTS.iter().zip(wanted).filter(|(_, wanted)| *wanted);
    wanted.map(|(part, _)| part.symbol).collect()
}

fn contains(bytes: &[u8], pattern: &[u8]) -> bool {
    let (first, len) = (pattern[0], pattern.len());
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == first) {
        rest = &rest[at..];
        if rest.get(..len) == Some(pattern) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::wanted_by;

    #[test]
    fn looks_at_references() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            wanted_by([path.as_path()].into_iter())
        };
        assert_eq!(
            wanted("main.o", "ccamlStdlib__Random.data_end"),
            ["soil_with_entropy"]
        );
        assert!(wanted("main.o", "camlStdlib__Rando").is_empty());
        assert_eq!(
            wanted("libstubs.a", "\0getentropy\0"),
            ["soil_with_entropy"]
        );
        assert_eq!(
            wanted("libthreadsnat.a", "\0pthread_create\0"),
            ["soil_with_threads"]
        );
        for reference in [
            "camlStdlib.open_in_294",
            "camlStdlib__Out_channel.with_open_286",
            "caml_sys_file_exists",
            "camlUnix.openfile_12",
            "\0fopen\0",
        ] {
            assert_eq!(
                wanted("main.o", reference),
                ["soil_with_files"],
                "{reference}"
            );
        }
        for other in [
            "camlStdlib.print_endline_369",
            "caml_sys_argv",
            "\0reopen\0",
        ] {
            assert!(wanted("main.o", other).is_empty(), "{other}");
        }
        assert!(wanted("stdlib.a", "camlStdlib__Random getrandom").is_empty());
        assert!(wanted("libasmrun.a", "pthread_create").is_empty());
        assert!(wanted_by([folder.path().join("missing.o").as_path()].into_iter()).is_empty());
    }

    #[test]
    fn several_inputs_give_several_reasons() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a.o", "b.a"].map(|name| folder.path().join(name));
        std::fs::write(&paths[0], "camlStdlib__Random").unwrap();
        std::fs::write(&paths[1], "pthread_create").unwrap();
        assert_eq!(
            wanted_by(paths.iter().map(|path| path.as_path())),
            ["soil_with_entropy", "soil_with_threads"]
        );
    }
}
