//! Parses declarations: documentation, names, and the records of `resources/src/types/records.rs`.

use syn::{Attribute, Expr, Fields, Item, ItemStruct, Type};

/// A declaration `record! { pub struct … }`.
pub struct Record {
    /// Name in Rust.
    pub name: String,
    /// Names of the fields, in order.
    pub fields: Vec<String>,
}

/// Tag in the documentation of a function that can block.
const BLOCKING: &str = "@ocaml blocking";

fn doc_lines(attributes: &[Attribute]) -> impl Iterator<Item = String> {
    attributes.iter().filter_map(|attribute| {
        let syn::Meta::NameValue(pair) = &attribute.meta else {
            return None;
        };
        match &pair.value {
            Expr::Lit(literal) if pair.path.is_ident("doc") => match &literal.lit {
                syn::Lit::Str(text) => Some(text.value().trim().to_string()),
                _ => None,
            },
            _ => None,
        }
    })
}

/// Returns the documentation of an item in one line, without the generator's tag.
pub fn doc(attributes: &[Attribute]) -> String {
    let lines = doc_lines(attributes).filter(|line| line != BLOCKING);
    lines.collect::<Vec<_>>().join(" ")
}

/// Whether a function has the tag of functions that can block.
pub fn is_blocking(attributes: &[Attribute]) -> bool {
    doc_lines(attributes).any(|line| line == BLOCKING)
}

/// Converts `TcpInfo` to `tcp_info`.
pub fn snake(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.chars().enumerate() {
        if i > 0 && c.is_uppercase() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

/// Returns the records that a file declares.
pub fn records(file: &syn::File) -> Result<Vec<Record>, String> {
    let declarations = file.items.iter().filter_map(|item| match item {
        Item::Macro(item) if item.mac.path.is_ident("record") => Some(item),
        _ => None,
    });
    declarations
        .map(|item| {
            let body: ItemStruct = item.mac.parse_body().map_err(|e| format!("record!: {e}"))?;
            record(&body)
        })
        .collect()
}

fn record(item: &ItemStruct) -> Result<Record, String> {
    let name = item.ident.to_string();
    let Fields::Named(named) = &item.fields else {
        return Err(format!("{name}: the fields of a record have names"));
    };
    let mut fields = Vec::new();
    for field in &named.named {
        let ident = field
            .ident
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let is_int = matches!(&field.ty, Type::Path(path) if path.path.is_ident("Int"));
        if !is_int {
            return Err(format!(
                "{name}: {ident}: the fields of a record are of type Int"
            ));
        }
        if doc(&field.attrs).is_empty() {
            return Err(format!("{name}: {ident}: has no documentation"));
        }
        fields.push(ident);
    }
    Ok(Record { name, fields })
}

#[cfg(test)]
mod tests {
    use super::{doc, is_blocking, records, snake};

    #[test]
    fn a_record_is_read_in_the_order_of_its_fields() {
        let file = syn::parse_file(
            "record! {
                /// Measured
                /// values.
                pub struct TcpInfo {
                    /// Time.
                    pub rtt: Int,
                    /// Bytes.
                    pub window: Int,
                }
            }",
        );
        let records = records(&file.expect("Rust")).expect("records");
        let [record] = records.as_slice() else {
            panic!("{} records", records.len());
        };
        assert_eq!(snake(&record.name), "tcp_info");
        assert_eq!(record.fields, ["rtt", "window"]);
    }

    #[test]
    fn a_field_that_is_no_int_or_has_no_documentation_is_refused() {
        for (field, complaint) in [
            ("/// Bytes.\n pub bytes: u64", "of type Int"),
            ("pub bytes: Int", "no documentation"),
        ] {
            let text = format!("record! {{ pub struct R {{ {field}, }} }}");
            let error = records(&syn::parse_file(&text).expect("Rust")).err();
            assert!(
                error.is_some_and(|error| error.contains(complaint)),
                "{field}"
            );
        }
    }

    #[test]
    fn the_tag_of_waiting_is_no_documentation() {
        let item: syn::ItemFn = syn::parse_quote! {
            /// Waits.
            /// @ocaml blocking
            fn wait() {}
        };
        assert_eq!(doc(&item.attrs), "Waits.");
        assert!(is_blocking(&item.attrs));
    }
}
