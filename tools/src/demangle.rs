//! Demangles symbols into function names.

/// Demangles OCaml and Rust symbols; returns those of C unchanged.
pub fn demangle(symbol: &str) -> String {
    if let Some(name) = ocaml(symbol) {
        return name;
    }
    match rustc_demangle::try_demangle(symbol) {
        // The alternate form leaves out the hash.
        Ok(name) => format!("{name:#}"),
        Err(_) => symbol.to_owned(),
    }
}

/// Demangles ocamlopt's symbols: `caml`, the module path joined by `__`, `.`, the function (special
/// characters as `$` and two hexadecimal digits), and `_` with a number.
fn ocaml(symbol: &str) -> Option<String> {
    let (module, function) = symbol.strip_prefix("caml")?.split_once('.')?;
    if !module.starts_with(|first: char| first.is_ascii_uppercase()) {
        return None;
    }
    // Dune's wrapper module of executables isn't part of the user's source.
    let module = module
        .strip_prefix("Dune__exe__")
        .unwrap_or(module)
        .replace("__", ".");
    let function = match function.rsplit_once('_') {
        Some((name, number)) if number.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => function,
    };
    let function = match function {
        "entry" => return Some(format!("{module} (top level)")),
        "fun" => "(fun)".to_owned(),
        _ => unescape(function)?,
    };
    let operator = !function.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '(');
    Some(if operator {
        format!("{module}.({function})")
    } else {
        format!("{module}.{function}")
    })
}

/// Decodes `$xx`. `None` if two hexadecimal digits don't follow a `$`.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('$') {
        bytes.extend_from_slice(plain.as_bytes());
        bytes.push(u8::from_str_radix(escaped.get(..2)?, 16).ok()?);
        rest = escaped.get(2..)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::demangle;
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
            ("memcpy", "memcpy"),
            (
                "_ZN4core3fmt9Formatter3pad17h0123456789abcdefE",
                "core::fmt::Formatter::pad",
            ),
            ("_RNvC6kernel4boot", "kernel::boot"),
        ] {
            assert_eq!(demangle(symbol), name);
        }
    }

    proptest! {
        #[test]
        fn no_symbol_panics(symbol in any::<String>(), tail in "[A-Za-z$._0-9é]{0,20}") {
            demangle(&symbol);
            demangle(&format!("camlA.{tail}"));
        }
    }
}
