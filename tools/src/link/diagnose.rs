//! Formats the linker's messages, with one paragraph for each missing symbol.

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

/// Returns one paragraph for each missing symbol, with the objects that refer to it, and other
/// messages unchanged.
pub fn errors(messages: &str) -> String {
    let mut missing: BTreeMap<&str, Vec<String>> = BTreeMap::new();
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
            let wanted = missing.entry(symbol.trim_end_matches('\'')).or_default();
            let who = user(place, object, function);
            if !wanted.contains(&who) {
                wanted.push(who);
            }
        } else if !line.contains("more undefined references to") {
            others.push(line);
        }
    }
    let mut text = Vec::new();
    for (symbol, users) in &missing {
        const SHOWN: usize = 3;
        let mut who = users
            .iter()
            .take(SHOWN)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        if users.len() > SHOWN {
            who.push_str(&format!(" and {} more", users.len() - SHOWN));
        }
        text.push(format!(
            "symbol {symbol} is wanted by {who}, and nothing defines it{}",
            hint(symbol)
        ));
    }
    if missing.is_empty() || others.iter().any(|line| !line.contains("collect2")) {
        text.extend(others.iter().map(|line| line.to_string()));
    }
    text.join("\nsoil-cc: error: ")
}

/// Returns the object that refers to a symbol, `libx.a(file.o) (in f)`: the last object named, with
/// its function; or else the start of the reference's own line,
/// `path/libx.a(file.o):source.c:(.text+0x12): `.
fn user(place: &str, object: &str, function: &str) -> String {
    let base = |file: &str| file.rsplit('/').next().unwrap_or(file).to_string();
    if !object.is_empty() {
        return format!("{} (in {function})", base(object));
    }
    let end = place.find(":(").unwrap_or(place.len());
    let file = place[..end].trim_end_matches([':', ' ']);
    base(match file.split_once("):") {
        Some((object, _)) => &place[..object.len() + 1],
        None => file,
    })
}

/// Guesses a symbol's origin from its name.
fn hint(symbol: &str) -> &'static str {
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
    let is_unwinder = symbol.starts_with("_Unwind_");
    if is_cxx {
        ": it belongs to GCC's C++ library; name that in the dune file: \
        (link_flags (-cclib -lstdc++))"
    } else if is_unwinder {
        ": it belongs to the unwinder of C++ or of Rust's std; build Rust code with panic=abort \
        and no_std"
    } else if is_glibc {
        ": it is glibc's own, and an image is linked with musl; the library has to be built \
        against musl's headers"
    } else if symbol.starts_with("caml") {
        ": it is OCaml's; a library may be missing in the dune file, or be bytecode only"
    } else if symbol.starts_with("soil_") {
        ": it is Soil's; the installed library and the image archive are of different versions"
    } else {
        "; a library may be missing, or its archive be built without it: name the folder of a \
        complete archive in the dune file: (link_flags (-ccopt -LFOLDER))"
    }
}

#[cfg(test)]
mod tests {
    use super::{errors, warnings};

    #[test]
    fn names_symbol_library_and_function() {
        let text = errors(
            "/usr/bin/ld: /lib/zarith/libzarith.a(caml_z.o): in function `ml_z_mul':\n\
             caml_z.c:(.text+0x12): undefined reference to `__gmpn_mul'\n\
             /usr/bin/ld: /lib/zarith/libzarith.a(caml_z.o):caml_z.c:(.text+0x40): \
             undefined reference to `__gmpn_mul'\n\
             ld: stubs.o: in function `f':\n\
             ld: stubs.o:/src/stubs.c:7:(.text+0x1): \
             undefined reference to `__fgets_unlocked_chk'\n",
        );
        assert!(text.contains("symbol __gmpn_mul is wanted by"), "{text}");
        assert!(
            text.contains("libzarith.a(caml_z.o) (in ml_z_mul), and nothing defines it; a library")
                && text.contains("-ccopt -L"),
            "{text}"
        );
        assert!(
            text.contains("stubs.o (in f)") && text.contains("glibc's own"),
            "{text}"
        );
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
