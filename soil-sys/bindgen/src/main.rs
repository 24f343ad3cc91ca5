//! Generates the other descriptions of the interface from `soil-sys/src/abi.rs`: `soil.h` for C,
//! `soil_raw.ml` for OCaml with a `soil_raw_PART.ml` for each optional part, and the stubs for
//! bytecode.
//!
//! `soil-bindgen SOIL_SYS_FOLDER HEADER STUBS OCAML_FOLDER`: the folder of the `soil-sys` crate,
//! and the header, the Rust module and the folder of OCaml files to write. If a signature contains
//! a type that `soil-sys/src/ffi.rs` doesn't define, the error names the function.

mod bytecode;
mod ocaml;
mod source;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The interface: error codes, constants, records, and `abi.rs` with its parts in the order of
/// their `mod` items.
struct Abi {
    paths: Vec<PathBuf>,
    files: Vec<(String, syn::File)>,
}

fn parse(path: &Path) -> Result<syn::File, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    syn::parse_file(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Returns the parts that a file declares: `mod` items with a file of their own.
fn parts(file: &syn::File) -> impl Iterator<Item = &syn::Ident> {
    file.items.iter().filter_map(|item| match item {
        syn::Item::Mod(part) if part.content.is_none() => Some(&part.ident),
        _ => None,
    })
}

fn read(folder: &Path) -> Result<Abi, String> {
    let files = [
        "../platform/src/error.rs",
        "../resources/src/types/constants.rs",
        "../resources/src/types/records.rs",
        "src/abi.rs",
    ];
    let mut paths = files.map(|file| folder.join(file)).to_vec();
    let mut files = Vec::new();
    let mut next = 0;
    while let Some(path) = paths.get(next).cloned() {
        let file = parse(&path)?;
        for part in parts(&file) {
            paths.push(folder.join(format!("src/abi/{part}.rs")));
        }
        let part = path
            .file_stem()
            .map(|part| part.to_string_lossy().into_owned());
        files.push((part.unwrap_or_default(), file));
        next += 1;
    }
    Ok(Abi { paths, files })
}

/// Writes the indices of the records' fields for C.
fn records(abi: &Abi) -> Result<String, String> {
    let mut text = String::new();
    for (_, file) in &abi.files {
        for record in source::records(file)? {
            let name = source::snake(&record.name);
            let prefix = format!("SOIL_{}", name.to_uppercase());
            let _ = write!(
                text,
                "/**\n * Fields of `{}`: {}\n */\n",
                record.name, record.doc
            );
            let _ = writeln!(text, "enum soil_{name} {{");
            for (field, doc) in &record.fields {
                let _ = writeln!(text, "  /** {doc} */\n  {prefix}_{},", field.to_uppercase());
            }
            let _ = writeln!(text, "  {prefix}_LENGTH,\n}};\n");
        }
    }
    Ok(text)
}

/// Generates `soil.h` with cbindgen.
fn header(abi: &Abi) -> Result<String, String> {
    let config = cbindgen::Config {
        language: cbindgen::Language::C,
        include_guard: Some("SOIL_H".into()),
        header: Some(
            "/* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. */".into(),
        ),
        after_includes: Some(
            "\n/* An OCaml int, untagged. */\ntypedef intptr_t Int;\n\
             /* OCaml values: bytes, string, bigarray of bytes, \
             array of those, bigarray of int, bigarray of rows of pixels. */\n\
             typedef uintptr_t Bytes, Text, Buffer, Buffers, Ints, Pixels;"
                .into(),
        ),
        trailer: Some(records(abi)?),
        cpp_compat: true,
        usize_is_size_t: true,
        enumeration: cbindgen::EnumConfig {
            rename_variants: cbindgen::RenameRule::ScreamingSnakeCase,
            prefix_with_name: true,
            ..Default::default()
        },
        export: cbindgen::ExportConfig {
            include: vec!["Error".into()],
            rename: [("Error".to_string(), "soil_error".to_string())].into(),
            exclude: vec!["soil_error".into()],
            ..Default::default()
        },
        ..Default::default()
    };
    let mut builder = cbindgen::Builder::new().with_config(config);
    // Without the file that declares the parts: cbindgen would treat it as the root of a crate, and
    // read the crate's own `net.rs` instead of `abi/net.rs`.
    for (path, (_, file)) in abi.paths.iter().zip(&abi.files) {
        if parts(file).next().is_none() {
            builder = builder.with_src(path);
        }
    }
    let bindings = builder.generate().map_err(|e| format!("cbindgen: {e}"))?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    String::from_utf8(text).map_err(|e| format!("cbindgen: {e}"))
}

fn run() -> Result<(), String> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [folder, header_path, stubs_path, ocaml_folder] = arguments.as_slice() else {
        return Err("usage: soil-bindgen SOIL_SYS_FOLDER HEADER STUBS OCAML_FOLDER".into());
    };
    let abi = read(folder)?;
    let modules = ocaml::modules(&abi.files)?;
    let modules = modules
        .into_iter()
        .map(|(name, text)| (ocaml_folder.join(name), text));
    let others = [
        (header_path.clone(), header(&abi)?),
        (stubs_path.clone(), bytecode::stubs(&abi.files)?),
    ];
    for (path, text) in modules.chain(others) {
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soil-bindgen: {error}");
            ExitCode::FAILURE
        }
    }
}
