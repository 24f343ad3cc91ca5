//! Generates the other descriptions of the interface from `soil-sys/src/abi.rs`: `soil_raw.ml` for
//! OCaml with a `soil_raw_PART.ml` for each optional part, and the stubs for bytecode.
//!
//! `soil-bindgen SOIL_SYS_FOLDER STUBS OCAML_FOLDER`: the folder of the `soil-sys` crate, and the
//! Rust module and the folder of OCaml files to write. If a signature contains
//! a type that `soil-sys/src/ffi.rs` doesn't define, the error names the function.

mod bytecode;
mod ocaml;
mod source;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

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

/// Returns the files of the interface by the names of their parts: error codes, constants, records,
/// and `abi.rs` with its parts in the order of their `mod` items.
fn read(folder: &Path) -> Result<Vec<(String, syn::File)>, String> {
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
    Ok(files)
}

fn run() -> Result<(), String> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [folder, stubs, ocaml_folder] = arguments.as_slice() else {
        return Err("usage: soil-bindgen SOIL_SYS_FOLDER STUBS OCAML_FOLDER".into());
    };
    let files = read(folder)?;
    let modules = ocaml::modules(&files)?.into_iter();
    let modules = modules.map(|(name, text)| (ocaml_folder.join(name), text));
    for (path, text) in modules.chain([(stubs.clone(), bytecode::stubs(&files)?)]) {
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
