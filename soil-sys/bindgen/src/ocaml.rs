//! `soil_raw.ml` and its likes.
//!
//! An OCaml module with externals makes its object file refer to every symbol that they name, used
//! or not, and so would link the whole network into a program that only wants the time. Hence a
//! module for each part of the interface: `soil_raw.ml` has the types, the constants and what every
//! program needs ([`BASE`]), and `soil_raw_PART.ml` the externals of each other part.

use std::fmt::Write;
use syn::{Attribute, Expr, FnArg, Item, ItemConst, ItemEnum, ItemFn, ReturnType, Type};

/// The parts of the interface whose externals are in `soil_raw.ml` itself.
const BASE: [&str; 3] = ["clock", "descriptors", "runtime"];

/// The first line of all.
const HEAD: &str = "(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)\n";

/// The types that externals speak of.
const TYPES: &str = "
type bytes_buffer = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t
type int_buffer = (int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t
";

/// The width that the comments are wrapped at, as ocamlformat wraps those of other files.
const COLUMNS: usize = 100;

/// The name that a bytecode program would look for; there is none, and the linker says so.
const BYTECODE: &str = "soil_needs_native_code";

/// The OCaml type of a type of `ffi.rs`.
fn ocaml_type(ty: &Type) -> Option<&'static str> {
    let Type::Path(path) = ty else { return None };
    Some(match path.path.get_ident()?.to_string().as_str() {
        "Int" => "(int[@untagged])",
        "Bytes" => "bytes",
        "Text" => "string",
        "Buffer" => "Soil_raw.bytes_buffer",
        "Buffers" => "Soil_raw.bytes_buffer array",
        "Ints" => "Soil_raw.int_buffer",
        _ => return None,
    })
}

/// The doc comment of an item, one line for each of its own.
fn doc(attributes: &[Attribute]) -> Vec<String> {
    let mut lines = Vec::new();
    for attribute in attributes {
        if attribute.path().is_ident("doc")
            && let syn::Meta::NameValue(pair) = &attribute.meta
            && let Expr::Lit(literal) = &pair.value
            && let syn::Lit::Str(text) = &literal.lit
        {
            lines.push(text.value().trim().to_string());
        }
    }
    lines
}

/// A documentation comment in OCaml's form, indented by `indent` and ended by a newline: `` `x` ``
/// and ``[`x`]`` become `[x]`; the generator's own tags are left out.
fn comment(indent: usize, attributes: &[Attribute]) -> String {
    let lines = doc(attributes);
    let lines = lines.iter().filter(|line| !line.starts_with("@ocaml"));
    wrapped(
        indent,
        &markup(lines.map(String::as_str).collect::<Vec<_>>().join(" ")),
    )
}

/// `(** text *)`, wrapped.
fn wrapped(indent: usize, text: &str) -> String {
    let mut out = " ".repeat(indent);
    out.push_str("(**");
    let mut column = out.len();
    let mut words = text.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let end = if words.peek().is_none() {
            " *)".len()
        } else {
            0
        };
        let width = word.chars().count();
        if column + 1 + width + end > COLUMNS {
            let indent = indent + "(**".len();
            let _ = write!(out, "\n{:indent$}", "");
            column = indent;
        }
        out.push(' ');
        out.push_str(word);
        column += 1 + width;
    }
    out.push_str(" *)\n");
    out
}

/// Rust's documentation markup as odoc's.
fn markup(mut text: String) -> String {
    while let Some(start) = text.find("](super::") {
        let end = text[start..]
            .find(')')
            .map_or(text.len(), |n| start + n + 1);
        text.replace_range(start + 1..end, "");
    }
    text = text.replace("[`", "`").replace("`]", "`");
    let mut out = String::new();
    let mut inside = false;
    for c in text.chars() {
        match c {
            '`' => {
                inside = !inside;
                out.push(if inside { '[' } else { ']' });
            }
            // Brackets, braces and @ mean something to odoc.
            '[' | ']' if inside => out.extend(['\\', c]),
            '[' | ']' | '{' | '}' | '@' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.replace("*)", "* )")
}

fn function(out: &mut String, item: &ItemFn) -> Result<(), String> {
    let symbol = item.sig.ident.to_string();
    let name = symbol
        .strip_prefix("soil_")
        .ok_or(format!("{symbol}: must begin with soil_"))?;
    let mut types = Vec::new();
    for argument in &item.sig.inputs {
        let FnArg::Typed(argument) = argument else {
            return Err(format!("{symbol}: takes self"));
        };
        let ty = ocaml_type(&argument.ty);
        types.push(ty.ok_or(format!("{symbol}: an argument's type is not one of ffi.rs"))?);
    }
    if types.is_empty() {
        types.push("unit");
    }
    match &item.sig.output {
        ReturnType::Type(_, ty) if ocaml_type(ty) == Some("(int[@untagged])") => (),
        _ => return Err(format!("{symbol}: must return Int")),
    }
    types.push("(int[@untagged])");
    let doc = doc(&item.attrs);
    if doc.is_empty() {
        return Err(format!("{symbol}: has no documentation"));
    }
    let blocking = doc.iter().any(|line| line == "@ocaml blocking");
    let noalloc = if blocking { "" } else { "\n[@@noalloc]" };
    let _ = write!(
        out,
        "\nexternal {name} :\n  {}\n  = \"{BYTECODE}\" \"{symbol}\"{noalloc}\n{}",
        types.join(" ->\n  "),
        comment(0, &item.attrs),
    );
    Ok(())
}

fn constant(out: &mut String, item: &ItemConst) {
    let name = item.ident.to_string().to_lowercase();
    let name = name.strip_prefix("soil_").unwrap_or(&name);
    let value = match &*item.expr {
        Expr::Binary(shift) => match (&*shift.left, &*shift.right) {
            (Expr::Lit(a), Expr::Lit(b)) => format!("{} lsl {}", lit(&a.lit), lit(&b.lit)),
            _ => return,
        },
        Expr::Unary(minus) => match &*minus.expr {
            Expr::Lit(a) => format!("-{}", lit(&a.lit)),
            _ => return,
        },
        Expr::Lit(a) => lit(&a.lit),
        _ => return,
    };
    let _ = write!(out, "\nlet {name} = {value}\n{}", comment(0, &item.attrs));
}

fn lit(literal: &syn::Lit) -> String {
    match literal {
        syn::Lit::Int(n) => n.base10_digits().to_string(),
        _ => String::new(),
    }
}

/// `NotFound` as `Not_found`.
fn variant(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.chars().enumerate() {
        if i > 0 && c.is_uppercase() {
            out.push('_');
            out.extend(c.to_lowercase());
        } else {
            out.push(c);
        }
    }
    out
}

fn errors(out: &mut String, item: &ItemEnum) -> Result<(), String> {
    let mut cases = String::new();
    let _ = writeln!(out, "\ntype error =");
    for case in &item.variants {
        let name = variant(&case.ident.to_string());
        let Some((_, Expr::Lit(number))) = &case.discriminant else {
            return Err(format!("{name}: an error code without a number"));
        };
        constructor(out, &name, &case.attrs);
        let _ = writeln!(cases, "  | {} -> Some {name}", lit(&number.lit));
    }
    let _ = write!(
        out,
        "{}\nlet error_of_code = function\n{cases}  | _ -> None\n{}",
        comment(0, &item.attrs),
        wrapped(
            0,
            "[error_of_code n] is the error that the result [-n] stands for."
        ),
    );
    Ok(())
}

/// A constructor with its comment, beside it if that fits.
fn constructor(out: &mut String, name: &str, attributes: &[Attribute]) {
    let line = format!("  | {name}  {}", comment(0, attributes));
    if line.trim_end().contains('\n') || line.trim_end().chars().count() > COLUMNS {
        let _ = write!(out, "  | {name}\n{}", comment(6, attributes));
    } else {
        out.push_str(&line);
    }
}

/// The modules: file names and texts. `parts` are the files of the description, each with the name
/// of its part.
pub fn modules(parts: &[(String, syn::File)]) -> Result<Vec<(String, String)>, String> {
    let mut base = format!("{HEAD}{TYPES}");
    let mut modules = Vec::new();
    for (part, file) in parts {
        let mut externals = String::new();
        for item in &file.items {
            match item {
                Item::Enum(item) if item.ident == "Error" => errors(&mut base, item)?,
                Item::Const(item) if matches!(item.vis, syn::Visibility::Public(_)) => {
                    constant(&mut base, item);
                }
                Item::Fn(item) if item.sig.abi.is_some() => function(&mut externals, item)?,
                _ => (),
            }
        }
        if BASE.contains(&part.as_str()) {
            // Inside the module its own types have no path.
            base.push_str(&externals.replace("Soil_raw.", ""));
        } else if !externals.is_empty() {
            modules.push((format!("soil_raw_{part}.ml"), format!("{HEAD}{externals}")));
        }
    }
    modules.push(("soil_raw.ml".into(), base));
    Ok(modules)
}
