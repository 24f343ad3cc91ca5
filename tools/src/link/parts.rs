//! Selects the optional parts of the image archive.
//!
//! OCaml's runtime refers to the functions of all parts, so the linker alone would include every
//! part in every image. The driver includes a part only if the program's own objects or archives
//! need it.

use object::read::archive::ArchiveFile;
use object::{
    Architecture, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags,
    RelocationTarget, SymbolIndex, elf,
};
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

/// The part for several processors.
pub const PROCESSORS: &str = "soil_with_processors";
/// The part that limits OCaml's domains to one. [`PROCESSORS`] excludes it.
const ONE_RING: &str = "__wrap_caml_parse_ocamlrunparam";
/// The block with the functions of OCaml's `Domain`, of which `spawn` is the first.
const DOMAIN: &str = "camlStdlib__Domain";

const PARTS: [Part; 6] = [
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
    // The kernel's threads, and the timers that interrupt them.
    Part {
        symbol: "soil_with_threads",
        names: &[
            "pthread_create",
            "thrd_create",
            "alarm",
            // Thread clocks.
            "clock_getcpuclockid",
            "pthread_getcpuclockid",
            // Thread names.
            "prctl",
            "pthread_setname_np",
            "pthread_getname_np",
            "getitimer",
            "setitimer",
            "timer_create",
            "ualarm",
            "caml_unix_alarm",
            "caml_unix_getitimer",
            "caml_unix_setitimer",
            // Each domain is a thread.
            "caml_domain_spawn",
            DOMAIN,
        ],
        beginnings: &["camlStdlib__Domain.spawn_"],
        exceptions: &[],
        texts: &[],
    },
    // Several processors, and the runtime's own `Domain.spawn`.
    Part {
        symbol: PROCESSORS,
        names: &["caml_domain_spawn", DOMAIN, "soil_processors_start"],
        beginnings: &["camlStdlib__Domain.spawn_"],
        exceptions: &[],
        texts: &[],
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
    // The event ring of the single domain, see soil-sys/src/domains.rs.
    Part {
        symbol: ONE_RING,
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
            *wanted = *wanted || part.texts.iter().any(|text| contains(&bytes, text));
        }
        for_each_reference(&bytes, |symbol| refer(&mut wanted, symbol));
    }
    let wanted = PARTS.iter().zip(wanted).filter(|(_, wanted)| *wanted);
    let mut symbols: Vec<_> = wanted.map(|(part, _)| part.symbol).collect();
    if symbols.contains(&PROCESSORS) {
        symbols.retain(|symbol| *symbol != ONE_RING);
    }
    symbols
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
            .filter(|symbol| symbol.name() != Ok(DOMAIN) || may_use_spawn(object, symbol.index()))
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

/// Whether an object that refers to [`DOMAIN`], its symbol `domain`, may use `Domain.spawn` as a
/// value, as `List.map Domain.spawn` does: at each reference, unless the code loads another field
/// next, as inlined functions on domain-local storage do.
fn may_use_spawn(object: &object::File<'_>, domain: SymbolIndex) -> bool {
    object.sections().any(|section| {
        let code = section.data().unwrap_or_default();
        section.relocations().any(|(at, relocation)| {
            let RelocationFlags::Elf { r_type } = relocation.flags() else {
                return true;
            };
            let at = usize::try_from(at).unwrap_or(usize::MAX);
            relocation.target() == RelocationTarget::Symbol(domain)
                && !match object.architecture() {
                    Architecture::X86_64 => x86_64_loads_another_field(code, at, r_type),
                    Architecture::Aarch64 => aarch64_loads_another_field(code, at, r_type),
                    _ => false,
                }
        })
    })
}

/// Whether `mov symbol@GOTPCREL(%rip), %a`, whose last four bytes are `at`, comes before
/// `mov field(%a), %b` with another field than the first.
fn x86_64_loads_another_field(code: &[u8], at: usize, relocation: elf::RelocationType) -> bool {
    let kinds = [elf::R_X86_64_GOTPCREL, elf::R_X86_64_REX_GOTPCRELX];
    let start = at.checked_sub(3);
    let Some(Some(&[rex, 0x8b, to, _, _, _, _, next, 0x8b, from, field])) =
        start.map(|start| code.get(start..).and_then(|code| code.first_chunk()))
    else {
        return false;
    };
    let wide = rex & 0xf8 == 0x48 && next & 0xf8 == 0x48;
    let to = (rex & 4) << 1 | to >> 3 & 7;
    // A displacement of one byte or four; register 4 stands for a longer form.
    let is_displaced = matches!(from >> 6, 1 | 2) && from & 7 != 4;
    let base = (next & 1) << 3 | from & 7;
    kinds.contains(&relocation) && wide && is_displaced && base == to && field != 0
}

/// Whether `ldr xa, [xc, :got_lo12:symbol]` at `at` comes before `ldr xb, [xa, #field]` with
/// another field than the first. The instruction that forms the address of the table's page is as
/// good as that one.
fn aarch64_loads_another_field(code: &[u8], at: usize, relocation: elf::RelocationType) -> bool {
    if relocation == elf::R_AARCH64_ADR_GOT_PAGE {
        return true;
    }
    let Some(words) = code.get(at..).and_then(|code| code.first_chunk::<8>()) else {
        return false;
    };
    let [own, next] = [0, 4]
        .map(|at| u32::from_le_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]));
    let is_load = next & 0xffc0_0000 == 0xf940_0000;
    let field = next >> 10 & 0xfff;
    relocation == elf::R_AARCH64_LD64_GOT_LO12_NC
        && is_load
        && next >> 5 & 31 == own & 31
        && field != 0
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
    use super::{DOMAIN, ONE_RING, PROCESSORS, any_defines_malloc, wanted_by};
    use object::write::{Object, Relocation, StandardSection, Symbol, SymbolId, SymbolSection};
    use object::{
        Architecture, BinaryFormat, Endianness, RelocationFlags, SymbolFlags, SymbolKind,
        SymbolScope, elf,
    };
    use std::path::Path;

    /// Returns the bytes of an object that refers to `name`.
    fn object(name: &str) -> Vec<u8> {
        let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        refer(&mut object, name);
        object.write().unwrap()
    }

    fn refer(object: &mut Object<'_>, name: &str) -> SymbolId {
        object.add_symbol(Symbol {
            name: name.into(),
            value: 0,
            size: 0,
            kind: SymbolKind::Unknown,
            scope: SymbolScope::Unknown,
            weak: false,
            section: SymbolSection::Undefined,
            flags: SymbolFlags::None,
        })
    }

    /// Returns the bytes of an object with this code, which refers to `Domain`'s block by
    /// relocations (place, kind).
    fn code(
        arch: Architecture,
        code: &[u8],
        relocations: &[(u64, elf::RelocationType)],
    ) -> Vec<u8> {
        let mut object = Object::new(BinaryFormat::Elf, arch, Endianness::Little);
        let symbol = refer(&mut object, DOMAIN);
        let text = object.section_id(StandardSection::Text);
        object.append_section_data(text, code, 4);
        for &(offset, r_type) in relocations {
            let flags = RelocationFlags::Elf { r_type };
            let relocation = Relocation {
                offset,
                symbol,
                addend: 0,
                flags,
            };
            object.add_relocation(text, relocation).unwrap();
        }
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
            ("pthread_create", "soil_with_threads"),
            ("camlStdlib.open_in_294", "soil_with_files"),
            ("camlStdlib__Out_channel.with_open_286", "soil_with_files"),
            ("caml_sys_file_exists", "soil_with_files"),
            ("camlUnix.openfile_12", "soil_with_files"),
            ("fopen", "soil_with_files"),
            ("sigwait", "soil_with_files"),
            ("camlSoil__Readiness.await_12", "soil_with_files"),
            ("caml_ml_runtime_events_start", ONE_RING),
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
        assert!(wanted("libasmrun.a", "pthread_create").is_empty());
        assert!(wanted_by([folder.path().join("missing.o").as_path()].into_iter(), &[]).is_empty());
    }

    #[test]
    fn a_value_of_spawn_counts_and_storage_of_domains_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let spawns = |bytes: &[u8]| {
            let wanted = wanted(folder.path(), "main.o", bytes);
            assert!(wanted.is_empty() || wanted == ["soil_with_threads", PROCESSORS]);
            !wanted.is_empty()
        };
        let x86_64 = |bytes: &[u8]| {
            let kind = (3, elf::R_X86_64_REX_GOTPCRELX);
            spawns(&code(Architecture::X86_64, bytes, &[kind]))
        };
        // The beginning of `List.map Domain.spawn`, then of str.a's functions.
        assert!(x86_64(b"\x48\x8b\x05\0\0\0\0\x48\x8b\x00\xe9\0\0\0\0"));
        assert!(!x86_64(
            b"\x48\x8b\x05\0\0\0\0\x48\x8b\x40\x50\x48\x8b\x58\x08"
        ));
        // A register from r8 on; a field by four bytes.
        assert!(!x86_64(
            b"\x4c\x8b\x05\0\0\0\0\x49\x8b\x40\x50\x48\x8b\x58\x08"
        ));
        assert!(!x86_64(b"\x48\x8b\x05\0\0\0\0\x48\x8b\x80\x50\0\0\0"));
        // From another register, and the end of the code.
        assert!(x86_64(
            b"\x4c\x8b\x05\0\0\0\0\x48\x8b\x40\x50\x48\x8b\x58\x08"
        ));
        assert!(x86_64(b"\x48\x8b\x05\0\0\0\0"));
        // The address itself, as of a module that is a value.
        let kind = (0, elf::R_X86_64_64);
        assert!(spawns(&code(Architecture::X86_64, &[0; 16], &[kind])));
        let aarch64 = |third: u32| {
            let words = [0x9000_000c, 0xf940_018c, third, 0xf940_05a1];
            let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
            let page = (0, elf::R_AARCH64_ADR_GOT_PAGE);
            let load = (4, elf::R_AARCH64_LD64_GOT_LO12_NC);
            spawns(&code(Architecture::Aarch64, &bytes, &[page, load]))
        };
        // cmdliner.a's code; the first field; another register.
        assert!(!aarch64(0xf940_298d));
        assert!(aarch64(0xf940_018d));
        assert!(aarch64(0xf940_29ad));
    }

    #[test]
    fn programs_with_domains_have_a_ring_for_each() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["camlStdlib__Domain.spawn_7", "caml_ml_runtime_events_start"].map(|symbol| {
            let path = folder.path().join(symbol);
            std::fs::write(&path, object(symbol)).unwrap();
            path
        });
        let wanted = wanted_by(paths.iter().map(|path| path.as_path()), &[]);
        assert_eq!(wanted, ["soil_with_threads", PROCESSORS]);
    }

    #[test]
    fn references_of_the_command_line_count() {
        let wanted = wanted_by([].into_iter(), &["main", "caml_domain_spawn"]);
        assert_eq!(wanted, ["soil_with_threads", PROCESSORS]);
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
        assert!(wanted(b"\0open\0pthread_create\0").is_empty());
        assert_eq!(wanted(b"\0/dev/urandom\0"), ["soil_with_entropy"]);
    }

    #[test]
    fn looks_into_archives_and_at_all_inputs() {
        let folder = tempfile::tempdir().unwrap();
        let member = object("pthread_create");
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
            ["soil_with_entropy", "soil_with_threads"]
        );
    }
}
