//! Selects the optional parts of the image archive.
//!
//! OCaml's runtime refers to the functions of all parts, so the linker alone would include every
//! part in every image. The driver includes a part only if the program's own objects or archives
//! need it.

use memchr::memmem;
use object::read::archive::ArchiveFile;
use object::{Object as _, ObjectSymbol as _};
use std::path::Path;

/// A part, and the symbols and texts that show that a program needs it.
struct Part {
    /// The symbol that makes the linker include it.
    symbol: &'static str,
    /// References in the program's objects and archives that require the part.
    names: &'static [&'static str],
    /// Prefixes of such symbols: OCaml modules, and OCaml functions, whose names end in a number.
    beginnings: &'static [&'static str],
    /// Prefixes of symbols that don't require it although they match `beginnings`.
    exceptions: &'static [&'static str],
    /// Texts in objects and archives that require it.
    texts: &'static [&'static [u8]],
}

/// The function that limits the number of domains.
const RINGS: &str = "__wrap_caml_parse_ocamlrunparam";

const PARTS: [Part; 4] = [
    // The driver of entropy devices.
    Part {
        symbol: "soil_with_entropy",
        names: &[
            "getrandom",
            "getentropy",
            "arc4random",
            "arc4random_buf",
            "arc4random_uniform",
            // TLS keys: ring, which is in the archive, calls `getrandom`.
            "soil_tls_connect",
            "soil_tls_accept",
        ],
        beginnings: &["camlStdlib__Random"],
        exceptions: &[],
        texts: &[b"/dev/urandom", b"/dev/random"],
    },
    // Files of the C library.
    Part {
        symbol: "soil_with_files",
        names: &[
            // Primitives of OCaml's `Sys` and of channels.
            "caml_sys_open",
            "caml_sys_file_exists",
            "caml_sys_is_directory",
            "caml_sys_is_regular_file",
            "caml_sys_remove",
            "caml_sys_rename",
            "caml_sys_chdir",
            "caml_sys_getcwd",
            "caml_sys_read_directory",
            "caml_sys_mkdir",
            "caml_sys_rmdir",
            // The C library.
            "open",
            "open64",
            "openat",
            "openat64",
            "__open_2",
            "__open64_2",
            "__openat_2",
            "__openat64_2",
            "creat",
            "creat64",
            "fopen",
            "fopen64",
            "freopen",
            "freopen64",
            "opendir",
            "stat",
            "stat64",
            "lstat",
            "lstat64",
            "access",
            "mkdir",
            "unlink",
            "rename",
            "pipe",
            "pipe2",
            "mkstemp",
            "mkstemp64",
            "tmpfile",
            "tmpfile64",
            "poll",
            "__poll_chk",
            "ppoll",
            "__ppoll_chk",
            "select",
            "pselect",
            "epoll_create",
            "epoll_create1",
            "eventfd",
            "signalfd",
            "timerfd_create",
            "sysinfo",
            // Waits for signals are in the same part as waits for files.
            "sigwait",
            "sigwaitinfo",
            "sigtimedwait",
            // The timer's thread calls `sigwaitinfo`.
            "timer_create",
            "socket",
            "socketpair",
            "getaddrinfo",
            "gethostbyname",
            "gethostbyname_r",
            "gethostbyname2",
            "gethostbyname2_r",
            "gethostbyaddr",
            "gethostbyaddr_r",
            "getnameinfo",
            "res_query",
            "res_search",
            "res_querydomain",
            "res_send",
        ],
        beginnings: &[
            // OCaml's library `unix`, and its library `threads`, all of which refers to `unix`.
            "camlUnix.",
            // Calls `poll`. The library `soil`, which contains it, is linked into every program.
            "camlSoil__Readiness",
            "caml_unix_",
            // Functions of OCaml's standard library.
            "camlStdlib.open_",
            "camlStdlib__In_channel.with_open",
            "camlStdlib__Out_channel.with_open",
            "camlStdlib__Filename.temp_",
            "camlStdlib__Filename.open_temp",
            "camlStdlib__Digest.file",
            "camlStdlib__Scanf.open_in_file",
            "camlStdlib__Arg.read_",
        ],
        exceptions: &[
            // Symbols that the start-up object refers to in every module.
            "camlUnix.code_",
            "camlUnix.data_",
            "camlUnix.entry",
            "camlUnix.frametable",
            "camlUnix.gc_roots",
            // Functions without files, such as clocks.
            "camlUnix.sleep_",
            "caml_unix_error_message",
            "caml_unix_getpid",
            "caml_unix_gettimeofday",
            "caml_unix_gmtime",
            "caml_unix_sleep",
            "caml_unix_time",
        ],
        texts: &[],
    },
    // Sockets of the C library.
    Part {
        symbol: "soil_with_sockets",
        names: &[
            "socket",
            "socketpair",
            "getaddrinfo",
            "gethostbyname",
            "gethostbyname_r",
            "gethostbyname2",
            "gethostbyname2_r",
            "gethostbyaddr",
            "gethostbyaddr_r",
            "getnameinfo",
            "res_query",
            "res_search",
            "res_querydomain",
            "res_send",
        ],
        beginnings: &[
            "camlUnix.socket_",
            "camlUnix.socketpair_",
            "camlUnix.getaddrinfo_",
            "camlUnix.getnameinfo_",
            "camlUnix.open_connection",
            "camlUnix.establish_server",
            "caml_unix_socket",
            "caml_unix_getaddrinfo",
            "caml_unix_gethostbyname",
            "caml_unix_gethostbyaddr",
            "caml_unix_getnameinfo",
        ],
        exceptions: &[],
        texts: &[],
    },
    // The rings of events of domains, see libc-compat/src/domains.rs.
    Part {
        symbol: RINGS,
        names: &["caml_ml_runtime_events_start"],
        beginnings: &[],
        exceptions: &[],
        texts: &[],
    },
];
/// Archives whose references to parts don't count.
const RUNTIME: [&str; 6] = [
    "stdlib.a",
    "libasmrun.a",
    "libasmruni.a",
    "libasmrund.a",
    "unix.a",
    "libunixnat.a",
];

/// Returns the symbols of the parts that the objects and archives `inputs` need, or that the
/// references `undefined` on the command line do.
pub fn wanted_by<'a>(
    inputs: impl Iterator<Item = &'a Path>,
    undefined: &[&str],
) -> Vec<&'static str> {
    let mut wanted = [false; PARTS.len()];
    let refer = |wanted: &mut [bool], symbol: &str| {
        for (wanted, part) in wanted.iter_mut().zip(&PARTS) {
            let begins = |with: &[&str]| with.iter().any(|with| symbol.starts_with(with));
            *wanted = *wanted
                || part.names.contains(&symbol)
                || begins(part.beginnings) && !begins(part.exceptions);
        }
    };
    for symbol in undefined {
        refer(&mut wanted, symbol);
    }
    for input in inputs {
        let name = input.file_name().unwrap_or_default().to_string_lossy();
        if RUNTIME.contains(&&*name) {
            continue;
        }
        let Ok(bytes) = std::fs::read(input) else {
            continue;
        };
        for (wanted, part) in wanted.iter_mut().zip(&PARTS) {
            *wanted = *wanted
                || part
                    .texts
                    .iter()
                    .any(|text| memmem::find(&bytes, text).is_some());
        }
        for_each_reference(&bytes, |symbol| refer(&mut wanted, symbol));
    }
    let wanted = PARTS.iter().zip(wanted).filter(|(_, wanted)| *wanted);
    wanted.map(|(part, _)| part.symbol).collect()
}

/// Whether one of the inputs has an allocator in place of the C library's: it defines `malloc`.
pub fn any_defines_malloc<'a>(mut inputs: impl Iterator<Item = &'a Path>) -> bool {
    inputs.any(|input| {
        let mut defines = false;
        for_each_object(&std::fs::read(input).unwrap_or_default(), |object| {
            defines |= object.symbols().any(|symbol| {
                symbol.is_definition() && symbol.is_global() && symbol.name() == Ok("malloc")
            });
        });
        defines
    })
}

/// Calls `f` with each undefined symbol of an object or an archive's members.
fn for_each_reference(bytes: &[u8], mut f: impl FnMut(&str)) {
    for_each_object(bytes, |object| {
        let undefined = object.symbols().filter(|symbol| symbol.is_undefined());
        undefined
            .filter_map(|symbol| symbol.name().ok())
            .for_each(&mut f);
    });
}

/// Calls `f` with an object or each of an archive's members. Ignores other files, which the linker
/// reports.
fn for_each_object(bytes: &[u8], mut f: impl FnMut(&object::File<'_>)) {
    let mut parse = |bytes: &[u8]| {
        if let Ok(object) = object::File::parse(bytes) {
            f(&object);
        }
    };
    match ArchiveFile::parse(bytes) {
        Ok(archive) => {
            let members = archive.members().filter_map(Result::ok);
            members
                .filter_map(|member| member.data(bytes).ok())
                .for_each(parse);
        }
        Err(_) => parse(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::{RINGS, any_defines_malloc, wanted_by};
    use object::write::{Object, StandardSection, Symbol, SymbolSection};
    use object::{Architecture, BinaryFormat, Endianness, SymbolFlags, SymbolKind, SymbolScope};
    use std::path::Path;

    /// Returns the bytes of an object that refers to `name`.
    fn object(name: &str) -> Vec<u8> {
        let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        object.add_symbol(Symbol {
            name: name.into(),
            value: 0,
            size: 0,
            kind: SymbolKind::Unknown,
            scope: SymbolScope::Unknown,
            weak: false,
            section: SymbolSection::Undefined,
            flags: SymbolFlags::None,
        });
        object.write().unwrap()
    }

    fn wanted(folder: &Path, name: &str, bytes: &[u8]) -> Vec<&'static str> {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        wanted_by([path.as_path()].into_iter(), &[])
    }

    #[test]
    fn looks_at_references() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = |name: &str, symbol: &str| wanted(folder.path(), name, &object(symbol));
        for (symbol, part) in [
            ("camlStdlib__Random.int_12", "soil_with_entropy"),
            ("getentropy", "soil_with_entropy"),
            ("soil_tls_accept", "soil_with_entropy"),
            ("camlStdlib.open_in_294", "soil_with_files"),
            ("camlStdlib__Out_channel.with_open_286", "soil_with_files"),
            ("caml_sys_file_exists", "soil_with_files"),
            ("camlUnix.openfile_12", "soil_with_files"),
            ("fopen", "soil_with_files"),
            ("sigwait", "soil_with_files"),
            ("camlSoil__Readiness.await_12", "soil_with_files"),
            ("caml_ml_runtime_events_start", RINGS),
        ] {
            assert_eq!(wanted("main.o", symbol), [part], "{symbol}");
        }
        for symbol in [
            "camlUnix.socketpair_9",
            "camlUnix.open_connection_2",
            "camlUnix.getaddrinfo_1",
            "camlUnix.getnameinfo_1",
            "socket",
            "gethostbyname",
            "res_query",
        ] {
            let both = ["soil_with_files", "soil_with_sockets"];
            assert_eq!(wanted("main.o", symbol), both, "{symbol}");
        }
        for other in [
            "camlStdlib__Rando",
            "camlStdlib.print_endline_369",
            "caml_sys_argv",
            "camlUnix.code_begin",
            "caml_unix_gettimeofday_unboxed",
            "soil_system_descriptor_await",
            "reopen",
            "opener",
        ] {
            assert!(wanted("main.o", other).is_empty(), "{other}");
        }
        assert!(wanted("libasmrun.a", "getrandom").is_empty());
        assert!(wanted_by([folder.path().join("missing.o").as_path()].into_iter(), &[]).is_empty());
    }

    #[test]
    fn references_of_the_command_line_count() {
        let wanted = wanted_by([].into_iter(), &["main", "getrandom"]);
        assert_eq!(wanted, ["soil_with_entropy"]);
    }

    #[test]
    fn finds_an_allocator_of_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let defines = |scope, name: &str| {
            let mut object =
                Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
            let text = object.section_id(StandardSection::Text);
            object.add_symbol(Symbol {
                name: name.into(),
                value: 0,
                size: 0,
                kind: SymbolKind::Text,
                scope,
                weak: false,
                section: SymbolSection::Section(text),
                flags: SymbolFlags::None,
            });
            let path = folder.path().join("allocator.o");
            std::fs::write(&path, object.write().unwrap()).unwrap();
            any_defines_malloc([path.as_path()].into_iter())
        };
        assert!(defines(SymbolScope::Linkage, "malloc"));
        assert!(!defines(SymbolScope::Compilation, "malloc"));
        assert!(!defines(SymbolScope::Linkage, "my_malloc"));
        let path = folder.path().join("uses.o");
        std::fs::write(&path, object("malloc")).unwrap();
        assert!(!any_defines_malloc([path.as_path()].into_iter()));
    }

    #[test]
    fn a_text_is_none_but_of_a_device() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = |bytes: &[u8]| wanted(folder.path(), "stubs.o", bytes);
        assert!(wanted(b"\0open\0getrandom\0").is_empty());
        assert_eq!(wanted(b"\0/dev/urandom\0"), ["soil_with_entropy"]);
    }

    #[test]
    fn looks_into_archives_and_at_all_inputs() {
        let folder = tempfile::tempdir().unwrap();
        let member = object("fopen");
        let mut archive = b"!<arch>\n".to_vec();
        let header = format!(
            "{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
            "a.o/",
            0,
            0,
            0,
            644,
            member.len()
        );
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(&member);
        let paths = ["a.a", "b.o"].map(|name| folder.path().join(name));
        std::fs::write(&paths[0], archive).unwrap();
        std::fs::write(&paths[1], object("getrandom")).unwrap();
        assert_eq!(
            wanted_by(paths.iter().map(|path| path.as_path()), &[]),
            ["soil_with_entropy", "soil_with_files"]
        );
    }
}
