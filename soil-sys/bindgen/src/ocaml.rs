//! Generates `soil_raw.ml` and `soil_raw_PART.ml`.
//!
//! The object file of an OCaml module refers to all symbols of its externals, used or not: one
//! module would link the whole network into a program that only needs the time. Hence each part of
//! the interface has a module: `soil_raw.ml` has the types, the constants and the externals that
//! every program needs ([`BASE`]), and `soil_raw_PART.ml` the externals of each other part.

use crate::bytecode;
use crate::source::{Record, doc, is_blocking, records, snake};
use std::fmt::Write;
use syn::{Expr, FnArg, Item, ItemConst, ItemEnum, ItemFn, ReturnType, Type};

/// Parts of the interface whose externals are in `soil_raw.ml` itself.
const BASE: [&str; 3] = ["descriptors", "runtime", "trace"];

/// The head of every file. Only the error codes, which `Soil.Error` includes, are documented again.
const HEAD: &str = "(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. The files of \
    soil-sys/src/abi\n   document the externals, constants and records. *)\n";

/// Types in the signatures of externals. Each module defines its own, because sublibraries can't
/// use the modules of the library `soil`.
const TYPES: [(&str, &str); 3] = [
    (
        "bytes_buffer",
        "(char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t",
    ),
    (
        "int_buffer",
        "(int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t",
    ),
    (
        "pixels",
        "(int32, Bigarray.int32_elt, Bigarray.c_layout) Bigarray.Array2.t",
    ),
];

/// Width of wrapped comments, as in files formatted by ocamlformat.
const COLUMNS: usize = 100;

/// Returns the OCaml type for a type of `ffi.rs`.
fn ocaml_type(ty: &Type) -> Option<&'static str> {
    let Type::Path(path) = ty else { return None };
    Some(match path.path.get_ident()?.to_string().as_str() {
        "Int" => "(int[@untagged])",
        "Bytes" => "bytes",
        "Text" => "string",
        "Buffer" => "bytes_buffer",
        "Buffers" => "bytes_buffer array",
        "Ints" => "int_buffer",
        "Pixels" => "pixels",
        _ => return None,
    })
}

/// Returns a documentation comment in OCaml's form, indented by `indent` and ended by a newline.
fn comment(indent: usize, doc: &str) -> String {
    wrapped(indent, &markup(doc.to_string()))
}

/// Returns `(** text *)`, wrapped.
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

/// Converts Rust's documentation markup to odoc's: `` `x` `` and ``[`x`]`` become `[x]`.
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
            // Escapes brackets, braces and @, which are odoc markup.
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
    if doc(&item.attrs).is_empty() {
        return Err(format!("{symbol}: has no documentation"));
    }
    let blocking = is_blocking(&item.attrs);
    let noalloc = if blocking { "" } else { " [@@noalloc]" };
    // The shortest form that fits, as in formatted files.
    let forms = [(" ", " -> "), ("\n  ", " -> "), ("\n  ", " ->\n  ")];
    let line =
        |(first, next): (&str, &str)| format!("external {name} :{first}{}", types.join(next));
    let fits = |text: &String| text.lines().all(|line| line.len() <= COLUMNS);
    let fitting = forms.into_iter().map(line).find(fits);
    let line = fitting.unwrap_or_else(|| line(forms[2]));
    let stub = bytecode::stub(&symbol);
    let _ = write!(out, "\n{line}\n  = \"{stub}\" \"{symbol}\"{noalloc}\n");
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
    if !out
        .lines()
        .next_back()
        .is_some_and(|line| line.starts_with("let "))
    {
        out.push('\n');
    }
    let _ = writeln!(out, "let {name} = {value}");
}

fn lit(literal: &syn::Lit) -> String {
    match literal {
        syn::Lit::Int(n) => n.base10_digits().to_string(),
        _ => String::new(),
    }
}

/// Converts `NotFound` and `not_found` to `Not_found`.
fn constructor(name: &str) -> String {
    let name = snake(name);
    let mut letters = name.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// Writes a case of a variant with its comment, on the same line if that fits.
fn case(out: &mut String, indent: usize, case: &str, doc: &str) {
    let line = format!("{:indent$}| {case}  {}", "", comment(0, doc));
    if line.trim_end().contains('\n') || line.trim_end().chars().count() > COLUMNS {
        let _ = write!(out, "{:indent$}| {case}\n{}", "", comment(indent + 4, doc));
    } else {
        out.push_str(&line);
    }
}

/// Error codes that OCaml's types exclude: no call of an OCaml program returns them.
const ONLY_IN_C: [&str; 1] = ["Wrong_kind"];

/// Writes the error codes: the type, which `Soil.Error` includes, and the conversion of a result.
///
/// OCaml represents the constant constructors of a type by 0, 1, …. Codes count from 1, so the
/// conversion is a subtraction and needs no table, which would add half a KiB to every program. A
/// code that exists only in C ends a range.
fn errors(out: &mut String, item: &ItemEnum) -> Result<(), String> {
    let _ = write!(out, "\nmodule Error_code = struct\n  type code =\n");
    let mut last = 0;
    let mut ranges = vec![(1, 0)];
    for variant in &item.variants {
        let name = constructor(&variant.ident.to_string());
        last += 1;
        match &variant.discriminant {
            Some((_, Expr::Lit(number))) if lit(&number.lit) == last.to_string() => (),
            _ => return Err(format!("{name}: error codes are numbered 1, 2, 3, …")),
        }
        if ONLY_IN_C.contains(&name.as_str()) {
            ranges.push((last + 1, last));
        } else {
            case(out, 4, &name, &doc(&variant.attrs));
            if let Some((_, end)) = ranges.last_mut() {
                *end = last;
            }
        }
    }
    let mut decode = String::new();
    for (absent, (first, last)) in ranges.iter().enumerate() {
        if first <= last {
            let (above, before) = (1 - first, absent + 1);
            let _ = write!(
                decode,
                "if r >= -{last} && r < {above} then constant_constructor (-{before} - r)\n  else "
            );
        }
    }
    let unknown = "A code that this version of the library doesn't know.";
    case(out, 4, "Unknown of int", unknown);
    let _ = write!(
        out,
        "{}end\n\nexternal constant_constructor : int -> Error_code.code = \"%identity\"\n\n\
         let error_code r =\n  {decode}Error_code.Unknown (-r)\n{}",
        comment(2, &doc(&item.attrs)),
        comment(0, "`error_code r` is the code of the negative result `r`."),
    );
    Ok(())
}

/// Writes a record: its fields as constructors, represented by their index, and the accessor.
fn record(out: &mut String, record: &Record) {
    let name = snake(&record.name);
    let _ = write!(out, "\ntype {name} =\n");
    for field in &record.fields {
        let _ = writeln!(out, "  | {}", constructor(field));
    }
    let _ = write!(
        out,
        "\nexternal {name} : int_buffer -> {name} -> int = \"%caml_ba_ref_1\"\n\
         let {name}_length = {}\n",
        record.fields.len(),
    );
}

/// Returns a module with these items: the comment at its head, the types in their signatures, and
/// the items.
fn module(items: &str) -> String {
    let types: String = TYPES
        .iter()
        .filter(|(name, _)| {
            ["", " array"]
                .iter()
                .any(|of| items.contains(&format!("{name}{of} ->")))
        })
        .map(|(name, definition)| format!("type {name} = {definition}\n"))
        .collect();
    let space = if types.is_empty() { "" } else { "\n" };
    format!("{HEAD}{space}{types}{items}")
}

/// Returns the modules: file names and texts. `parts` are the files of the description, each with
/// the name of its part.
pub fn modules(parts: &[(String, syn::File)]) -> Result<Vec<(String, String)>, String> {
    let mut base = String::new();
    let mut modules = Vec::new();
    for (part, file) in parts {
        let mut externals = String::new();
        for declared in records(file)? {
            record(&mut base, &declared);
        }
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
            base.push_str(&externals);
        } else if !externals.is_empty() {
            modules.push((format!("soil_raw_{part}.ml"), module(&externals)));
        }
    }
    modules.push(("soil_raw.ml".into(), module(&base)));
    Ok(modules)
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, modules, wrapped};

    fn raw(rust: &str) -> String {
        let parts = [("net".to_string(), syn::parse_file(rust).expect("Rust"))];
        let modules = modules(&parts).expect("a description");
        modules
            .into_iter()
            .find(|(name, _)| name == "soil_raw.ml")
            .expect("the base")
            .1
    }

    #[test]
    fn a_field_of_a_record_is_the_constructor_that_is_its_index() {
        let text = raw("record! { /// Ends. pub struct PipeEnds {
                /// Out.
                pub reader: Int,
                /// In.
                pub writer: Int, } }"
            .replace("/// Ends. ", "/// Ends.\n")
            .as_str());
        let expected = "
type pipe_ends =
  | Reader
  | Writer

external pipe_ends : int_buffer -> pipe_ends -> int = \"%caml_ba_ref_1\"
let pipe_ends_length = 2
";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn an_error_code_is_the_constructor_before_its_number() {
        let text = raw("/// Codes.
            enum Error {
                /// Disk.
                NoSpace = 1,
                /// Late.
                TimedOut = 2,
            }");
        assert!(text.contains("    | No_space  (** Disk. *)\n    | Timed_out  (** Late. *)\n"));
        assert!(text.contains("if r >= -2 && r < 0 then constant_constructor (-1 - r)\n"));
    }

    #[test]
    fn a_code_that_only_c_sees_is_unknown_and_those_after_it_move_up() {
        let text = raw("/// Codes.
            enum Error {
                /// Disk.
                NoSpace = 1,
                /// Type.
                WrongKind = 2,
                /// Late.
                TimedOut = 3,
            }");
        assert!(text.contains("    | No_space  (** Disk. *)\n    | Timed_out  (** Late. *)\n"));
        let decode = "  if r >= -1 && r < 0 then constant_constructor (-1 - r)
  else if r >= -3 && r < -2 then constant_constructor (-2 - r)
  else Error_code.Unknown (-r)
";
        assert!(text.contains(decode));
    }

    #[test]
    fn error_codes_leave_no_number_out() {
        let file = syn::parse_file("enum Error { A = 1, B = 3 }").expect("Rust");
        let error = modules(&[("error".to_string(), file)]).err();
        assert!(error.is_some_and(|error| error.starts_with("B: ")));
    }

    #[test]
    fn comments_are_wrapped() {
        let text = wrapped(2, &"word ".repeat(100));
        assert!(text.starts_with("  (** word") && text.ends_with("word *)\n"));
        assert!(text.lines().all(|line| line.len() <= COLUMNS));
        assert!(
            text.lines()
                .skip(1)
                .all(|line| line.starts_with("      word"))
        );
    }
}
