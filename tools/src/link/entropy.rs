//! Whether a program may ask for random numbers.
//!
//! OCaml's runtime can always ask, so the linker would keep the driver of entropy devices in every
//! image. It is taken in where an object refers to OCaml's `Random`, or an archive to the C
//! library's ways to ask.

use std::path::Path;

/// OCaml's module, as every object that uses it refers to it, the start-up object among them.
const MODULE: &[u8] = b"camlStdlib__Random";
/// The C library's functions, and the file.
const FUNCTIONS: [&[u8]; 4] = [b"getrandom", b"getentropy", b"/dev/urandom", b"/dev/random"];
/// Archives that refer to them but give no reason by that.
const RUNTIME: [&str; 4] = ["stdlib.a", "libasmrun.a", "libasmruni.a", "libasmrund.a"];

/// Whether the object or archive `input` gives reason to take the driver in.
pub fn is_wanted_by(input: &Path) -> bool {
    let Ok(bytes) = std::fs::read(input) else {
        return false;
    };
    let name = input.file_name().unwrap_or_default().to_string_lossy();
    if RUNTIME.contains(&&*name) {
        return false;
    }
    if name.ends_with(".o") && contains(&bytes, MODULE) {
        return true;
    }
    FUNCTIONS.iter().any(|function| contains(&bytes, function))
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
    use super::is_wanted_by;

    #[test]
    fn looks_at_references() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            is_wanted_by(&path)
        };
        assert!(wanted("main.o", "ccamlStdlib__Random.data_end"));
        assert!(!wanted("main.o", "camlStdlib__Rando"));
        assert!(wanted("libstubs.a", "\0getentropy\0"));
        assert!(!wanted("stdlib.a", "camlStdlib__Random getrandom"));
        assert!(!is_wanted_by(&folder.path().join("missing.o")));
    }
}
