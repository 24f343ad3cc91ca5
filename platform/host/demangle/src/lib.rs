//! Demangles symbols into function names, without allocating: reports of crashes use it in a
//! signal's handler.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

use core::fmt::{Display, Formatter, Result, Write as _};

/// A symbol, shown as the function's name in its source: of OCaml and Rust demangled, of C
/// unchanged.
#[derive(Clone, Copy, Debug)]
pub struct Demangled<'a>(pub &'a str);

impl Display for Demangled<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if let Some(name) = Ocaml::parse(self.0) {
            return name.fmt(f);
        }
        match rustc_demangle::try_demangle(self.0) {
            // The alternate form leaves out the hash.
            Ok(name) => write!(f, "{name:#}"),
            Err(_) => f.write_str(self.0),
        }
    }
}

/// One of ocamlopt's symbols: `caml`, the module path joined by `__`, `.`, the function (special
/// characters as `$` and two hexadecimal digits), and `_` with a number.
struct Ocaml<'a> {
    module: &'a str,
    function: &'a str,
}

impl<'a> Ocaml<'a> {
    fn parse(symbol: &'a str) -> Option<Self> {
        let (module, function) = symbol.strip_prefix("caml")?.split_once('.')?;
        if !module.starts_with(|first: char| first.is_ascii_uppercase()) {
            return None;
        }
        // Dune's wrapper module of executables isn't part of the user's source.
        let module = module.strip_prefix("Dune__exe__").unwrap_or(module);
        let function = match function.rsplit_once('_') {
            Some((name, number)) if number.bytes().all(|digit| digit.is_ascii_digit()) => name,
            _ => function,
        };
        let is_escaped = |part| escaped(part).is_some();
        let known = function.split('$').skip(1).all(is_escaped);
        known.then_some(Self { module, function })
    }
}

/// The byte of the two digits at the beginning, and the rest.
fn escaped(part: &str) -> Option<(u8, &str)> {
    let (code, rest) = part.split_at_checked(2)?;
    Some((u8::from_str_radix(code, 16).ok()?, rest))
}

/// Whether an escape at the beginning is a byte of a letter: operators are ASCII.
fn is_letter(function: &str) -> bool {
    let first = function.strip_prefix('$').and_then(escaped);
    first.is_some_and(|(byte, _)| !byte.is_ascii())
}

/// Bytes of one character.
#[derive(Default)]
struct Character {
    bytes: [u8; 4],
    len: usize,
}

impl Character {
    /// Adds a byte, and writes the character that it completes.
    fn push(&mut self, byte: u8, f: &mut Formatter<'_>) -> Result {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        match core::str::from_utf8(bytes) {
            Ok(text) => {
                f.write_str(text)?;
                self.len = 0;
            }
            Err(error) if error.error_len().is_some() => {
                f.write_char('?')?;
                self.len = 0;
            }
            Err(_) => (),
        }
        Ok(())
    }
}

impl Display for Ocaml<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (number, part) in self.module.split("__").enumerate() {
            f.write_str(if number == 0 { "" } else { "." })?;
            f.write_str(part)?;
        }
        match self.function {
            "entry" => return f.write_str(" (top level)"),
            "fun" => return f.write_str(".(fun)"),
            _ => f.write_char('.')?,
        }
        let plain = |c: char| c.is_alphanumeric() || c == '_';
        let operator = !self.function.starts_with(plain) && !is_letter(self.function);
        f.write_str(if operator { "(" } else { "" })?;
        let mut parts = self.function.split('$');
        f.write_str(parts.next().unwrap_or_default())?;
        let mut character = Character::default();
        for (byte, rest) in parts.filter_map(escaped) {
            character.push(byte, f)?;
            f.write_str(rest)?;
        }
        f.write_str(if operator { ")" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::Demangled;
    use proptest::prelude::{any, proptest};

    #[test]
    fn names_are_those_of_the_source() {
        for (symbol, name) in [
            ("camlMain.f_271", "Main.f"),
            ("camlDune__exe__Main.f$27_270", "Main.f'"),
            ("camlA.$2b$21_273", "A.(+!)"),
            ("camlStdlib__List.map_123", "Stdlib.List.map"),
            ("camlMain.fun_310", "Main.(fun)"),
            ("camlMain.entry", "Main (top level)"),
            ("caml_alloc_small", "caml_alloc_small"),
            ("camlMain.f$zz_1", "camlMain.f$zz_1"),
            ("camlMain.f$8", "camlMain.f$8"),
            ("camlMain.$c3$a9t$c3$a9_1", "Main.été"),
            ("camlMain.f$c3$28$ff_1", "Main.f??"),
            ("memcpy", "memcpy"),
            (
                "_ZN4core3fmt9Formatter3pad17h0123456789abcdefE",
                "core::fmt::Formatter::pad",
            ),
            ("_RNvC6kernel4boot", "kernel::boot"),
        ] {
            assert_eq!(Demangled(symbol).to_string(), name);
        }
    }

    proptest! {
        #[test]
        fn no_symbol_panics(symbol in any::<String>(), tail in "[A-Za-z$._0-9é]{0,20}") {
            let _ = Demangled(&symbol).to_string();
            let _ = Demangled(&format!("camlA.{tail}")).to_string();
        }
    }
}
