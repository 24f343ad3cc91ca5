//! Formats the linker's messages, with one line for each archive that refers to missing symbols.

use std::collections::BTreeMap;

/// Returns the relevant warnings of a successful link.
pub fn warnings(messages: &str) -> impl Iterator<Item = &str> {
    // GNU ld warns of notes in musl's and OCaml's objects, which are harmless.
    const NOISE: [&str; 3] = [
        "missing .note.GNU-stack",
        "NOTE: This behaviour is deprecated",
        "executable stack",
    ];
    messages
        .lines()
        .filter(|line| !line.is_empty() && !NOISE.iter().any(|noise| line.contains(noise)))
}

/// The missing symbols that are named of an archive.
const SHOWN: usize = 3;

/// Where a missing symbol probably belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Soil,
    Ocaml,
    Cxx,
    Unwinder,
    Glibc,
    Library,
}

/// The archives that lack something in a distribution, with a remedy.
const RECIPES: [(&str, &str); 3] = [
    (
        "libpq.a",
        "build a libpq without Kerberos and LDAP: docs/book/fifteen-minutes.md, \"A static libpq\"",
    ),
    ("libssl.a", OPENSSL),
    ("libcrypto.a", OPENSSL),
];
const OPENSSL: &str = "name what OpenSSL needs in the dune file, (link_flags (-cclib -lz -cclib \
    -lzstd)), as 'pkg-config --static --libs openssl' lists it: docs/libraries.md";

/// Returns one line for each archive or object that refers to missing symbols, one for the remedy
/// of several, and other messages unchanged.
pub fn errors(messages: &str) -> String {
    // The symbols by what refers to them, with the first place.
    let mut missing: BTreeMap<(Origin, String), BTreeMap<&str, String>> = BTreeMap::new();
    let mut others = Vec::new();
    let (mut object, mut function) = ("", "");
    for line in warnings(messages) {
        let line = line
            .strip_prefix("ld: ")
            .or_else(|| line.split_once("/ld: ").map(|(_, rest)| rest))
            // The linker for another processor.
            .or_else(|| line.split_once("-linux-gnu-ld: ").map(|(_, rest)| rest))
            .unwrap_or(line);
        if let Some((file, name)) = line.split_once(": in function `") {
            object = file;
            function = name.trim_end_matches(['\'', ':']);
        } else if let Some((place, symbol)) = line.split_once("undefined reference to `") {
            let symbol = symbol.trim_end_matches('\'');
            let (archive, place) = user(place, object, function);
            let symbols = missing.entry((origin(symbol), archive)).or_default();
            symbols.entry(symbol).or_insert(place);
        } else if !line.contains("more undefined references to") {
            others.push(line);
        }
    }
    let mut text = Vec::new();
    let mut groups = missing.iter().peekable();
    while let Some(((origin, archive), symbols)) = groups.next() {
        text.push(format!("error: {}", referred(archive, symbols)));
        let remedy = remedy(*origin, archive);
        let next = groups.peek();
        if next.map(|((origin, archive), _)| self::remedy(*origin, archive)) != Some(remedy) {
            text.push(format!("remedy: {remedy}"));
        }
    }
    if missing.is_empty() || others.iter().any(|line| !line.contains("collect2")) {
        text.extend(others.iter().map(|line| format!("error: {line}")));
    }
    let text = text.join("\nsoil-cc: ");
    text.strip_prefix("error: ").unwrap_or(&text).to_owned()
}

/// The missing symbols of an archive or object in one line.
fn referred(archive: &str, symbols: &BTreeMap<&str, String>) -> String {
    let named = symbols.iter().take(SHOWN);
    let named = named.map(|(symbol, place)| match place.as_str() {
        "" => (*symbol).to_owned(),
        place => format!("{symbol} ({place})"),
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let (count, noun) = match symbols.len() {
        1 => (1, "symbol"),
        count => (count, "symbols"),
    };
    let rest = match count.saturating_sub(SHOWN) {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    format!("{archive} refers to {count} {noun} that nothing defines: {named}{rest}")
}

/// Returns the archive or object that refers to a symbol, and the place in it, `file.o, in f`: the
/// last object named, with its function; or else the start of the reference's own line,
/// `path/libx.a(file.o):source.c:(.text+0x12): `.
fn user(place: &str, object: &str, function: &str) -> (String, String) {
    let named = match object {
        "" => {
            let end = place.find(":(").unwrap_or(place.len());
            let file = place[..end].trim_end_matches([':', ' ']);
            match file.split_once("):") {
                Some((object, _)) => &place[..object.len() + 1],
                None => file,
            }
        }
        object => object,
    };
    let base = named.rsplit('/').next().unwrap_or(named);
    let (archive, member) = match base.split_once('(') {
        Some((archive, member)) => (archive, member.trim_end_matches(')')),
        None => (base, ""),
    };
    let function = match object {
        "" => String::new(),
        _ => format!("in {function}"),
    };
    let place = [member, &function];
    let place: Vec<&str> = place.into_iter().filter(|word| !word.is_empty()).collect();
    (archive.to_owned(), place.join(", "))
}

/// Guesses a symbol's origin from its name.
fn origin(symbol: &str) -> Origin {
    let is_glibc = symbol.starts_with("__")
        && (symbol.ends_with("_chk") || symbol.contains("isoc"))
        || symbol.ends_with("64")
        || [
            "_IO_",
            "__ctype_",
            "obstack",
            "_obstack",
            "backtrace",
            "mallinfo",
            "gnu_",
            "qsort_r",
            "error_at_line",
            "fts_",
            "argp_",
        ]
        .iter()
        .any(|prefix| symbol.starts_with(prefix));
    let is_cxx = symbol.starts_with("_ZSt")
        || symbol.starts_with("_ZNSt")
        || symbol.starts_with("__cxa_")
        || symbol.starts_with("__gxx_");
    if is_cxx {
        Origin::Cxx
    } else if symbol.starts_with("_Unwind_") {
        Origin::Unwinder
    } else if is_glibc {
        Origin::Glibc
    } else if symbol.starts_with("caml") {
        Origin::Ocaml
    } else if symbol.starts_with("soil_") {
        Origin::Soil
    } else {
        Origin::Library
    }
}

/// What to do about missing symbols to which an archive or object refers.
fn remedy(origin: Origin, archive: &str) -> &'static str {
    match origin {
        Origin::Soil => {
            "these are Soil's: the installed library and the image archive are of different \
            versions; install one version"
        }
        Origin::Ocaml => {
            "these are OCaml's: a library may be missing in the dune file, or be bytecode only"
        }
        Origin::Cxx => {
            "these belong to GCC's C++ library: name that in the dune file, (link_flags (-cclib \
            -lstdc++)): docs/libraries.md, \"C++ stubs\""
        }
        Origin::Unwinder => {
            "these belong to the unwinder of C++ or of Rust's std: build Rust code with panic=abort \
            and no_std"
        }
        Origin::Glibc => {
            "these are glibc's own, and an image is linked with musl: build the library against \
            musl's headers: docs/libraries.md, \"glibc symbols\""
        }
        Origin::Library => {
            let recipe = RECIPES.iter().find(|(name, _)| *name == archive);
            recipe.map_or(
                "a library may be missing, or its archive be built without it: add what \
                'pkg-config --static --libs NAME' prints to the dune file, (link_flags (-cclib \
                -lOTHER)), or name the folder of a complete archive, (link_flags (-ccopt \
                -LFOLDER)): docs/libraries.md, \"Other libraries\"",
                |(_, remedy)| remedy,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{errors, warnings};

    #[test]
    fn names_library_symbol_object_and_function() {
        let text = errors(
            "/usr/bin/ld: /lib/zarith/libzarith.a(caml_z.o): in function `ml_z_mul':\n\
             caml_z.c:(.text+0x12): undefined reference to `__gmpn_mul'\n\
             /usr/bin/ld: /lib/zarith/libzarith.a(caml_z.o):caml_z.c:(.text+0x40): \
             undefined reference to `__gmpn_mul'\n\
             ld: stubs.o: in function `f':\n\
             ld: stubs.o:/src/stubs.c:7:(.text+0x1): \
             undefined reference to `__fgets_unlocked_chk'\n",
        );
        let lines: Vec<&str> = text.split("\nsoil-cc: ").collect();
        let [glibc, musl, library, complete] = lines[..] else {
            panic!("{text}");
        };
        assert_eq!(
            glibc,
            "stubs.o refers to 1 symbol that nothing defines: __fgets_unlocked_chk (in f)"
        );
        assert!(musl.starts_with("remedy: these are glibc's own"), "{text}");
        assert_eq!(
            library,
            "error: libzarith.a refers to 1 symbol that nothing defines: __gmpn_mul (caml_z.o, in \
             ml_z_mul)"
        );
        assert!(
            complete.starts_with("remedy: a library may be missing") && text.contains("-ccopt -L"),
            "{text}"
        );
    }

    #[test]
    fn symbols_are_grouped_by_archive_with_one_remedy() {
        let mut messages = String::new();
        for (archive, count) in [("libone.a", 5), ("libpq.a", 64), ("libtwo.a", 3)] {
            for number in 0..count {
                messages.push_str(&format!(
                    "ld: /usr/lib/{archive}(object.o): in function `f{number}':\n\
                     object.c:(.text+0x{number}): undefined reference to `gss_{number:02}'\n"
                ));
            }
        }
        let text = errors(&messages);
        let lines: Vec<&str> = text.split("\nsoil-cc: ").collect();
        assert_eq!(
            lines[0],
            "libone.a refers to 5 symbols that nothing defines: gss_00 (object.o, in f0), gss_01 \
             (object.o, in f1), gss_02 (object.o, in f2) and 2 more"
        );
        assert!(
            lines[2].starts_with("error: libpq.a refers to 64 symbols"),
            "{text}"
        );
        assert!(lines[2].ends_with(" and 61 more"), "{text}");
        assert_eq!(
            lines[3],
            "remedy: build a libpq without Kerberos and LDAP: docs/book/fifteen-minutes.md, \
             \"A static libpq\""
        );
        assert!(lines[4].ends_with("gss_02 (object.o, in f2)"), "{text}");
        assert_eq!((lines.len(), lines[1]), (6, lines[5]), "{text}");
        // Two with one remedy have it once.
        let text = errors(&messages.replace("libpq", "libthree"));
        assert_eq!(text.matches("remedy: ").count(), 1, "{text}");
        assert_eq!(text.lines().count(), 4, "{text}");
    }

    #[test]
    fn keeps_other_messages() {
        let text = errors("ld: cannot find x.o: No such file or directory\n");
        assert_eq!(text, "cannot find x.o: No such file or directory");
    }

    #[test]
    fn leaves_out_notes_about_stacks() {
        let line = "ld: warning: x.o: missing .note.GNU-stack section implies executable stack";
        assert_eq!(warnings(line).count(), 0);
    }
}
