//! Generates `bytecode.rs`: for each function the stub that OCaml's interpreter calls.

use std::fmt::Write;
use syn::{FnArg, Item, Pat};

/// Maximum length of a line.
const WIDTH: usize = 100;

/// Maximum number of separate arguments; primitives with more get them as an array.
const REGISTERS: usize = 5;

/// Returns the name of the stub of function `symbol`, after the convention of OCaml's own runtime.
pub fn stub(symbol: &str) -> String {
    format!("{symbol}_bytecode")
}

/// Returns the name of an argument.
fn argument(argument: &FnArg) -> Option<String> {
    match argument {
        FnArg::Typed(typed) => match &*typed.pat {
            Pat::Ident(name) => Some(name.ident.to_string()),
            _ => None,
        },
        FnArg::Receiver(_) => None,
    }
}

/// Returns the Rust module with the stubs of all functions of the interface.
pub fn stubs(parts: &[(String, syn::File)]) -> Result<String, String> {
    let (mut short, mut long) = (String::new(), String::new());
    for item in parts.iter().flat_map(|(_, file)| &file.items) {
        let Item::Fn(item) = item else { continue };
        if item.sig.abi.is_none() {
            continue;
        }
        let symbol = item.sig.ident.to_string();
        let arguments: Option<Vec<String>> = item.sig.inputs.iter().map(argument).collect();
        let arguments = arguments.ok_or(format!("{symbol}: an argument has no name"))?;
        let out = if arguments.len() > REGISTERS {
            &mut long
        } else {
            &mut short
        };
        let (stub, arguments) = (stub(&symbol), arguments.join(", "));
        let line = format!("    fn {stub} = {symbol}({arguments});");
        let _ = match line.len() <= WIDTH {
            true => writeln!(out, "{line}"),
            false => writeln!(out, "    fn {stub} =\n        {symbol}({arguments});"),
        };
    }
    Ok(format!(
        "// Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit.\n\n\
         //! The functions of the interface as OCaml's interpreter calls them.\n\n\
         use crate::ffi::value::{{Argument, Value, stubs}};\n\n\
         stubs! {{\n{short}\n    vectors\n{long}}}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::stubs;

    #[test]
    fn functions_of_more_than_five_arguments_take_an_array() {
        let rust = "pub extern \"C\" fn soil_five(a: Int, mut b: Bytes, c: Int, d: Int, e: Int) {}
            fn not_exported(a: Int) {}
            pub extern \"C\" fn soil_six(a: Int, b: Int, c: Int, d: Int, e: Int, f: Int) {}";
        let parts = [("net".to_string(), syn::parse_file(rust).expect("Rust"))];
        let text = stubs(&parts).expect("a module");
        let (short, long) = text.split_once("vectors").expect("both kinds");
        assert!(short.contains("fn soil_five_bytecode = soil_five(a, b, c, d, e);"));
        assert!(long.contains("fn soil_six_bytecode = soil_six(a, b, c, d, e, f);"));
        assert!(!text.contains("not_exported"));
    }
}
