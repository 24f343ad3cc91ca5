//! Compiles the OCaml side of the test, with the generated externals and OCaml's runtime, to one
//! object file.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The generated externals, and the code of the test.
const SOURCES: [&str; 2] = ["../../soil-ocaml/src/raw/soil_raw.ml", "tests/roundtrip.ml"];

fn compile(out: &Path) -> Result<PathBuf, String> {
    let mut copies = Vec::new();
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
        let name = Path::new(source)
            .file_name()
            .ok_or("a source without a name")?;
        let copy = out.join(name);
        std::fs::copy(source, &copy).map_err(|e| format!("{source}: {e}"))?;
        copies.push(copy);
    }
    let object = out.join("roundtrip_all.o");
    let output = Command::new("ocamlopt")
        .current_dir(out)
        .args(["-output-complete-obj", "-o"])
        .arg(&object)
        // ocaml-interop registers threads with OCaml's thread library.
        .args([
            "-I",
            "+unix",
            "-I",
            "+threads",
            "-linkall",
            "unix.cmxa",
            "threads.cmxa",
        ])
        .args(copies)
        .output()
        .map_err(|e| format!("can't run ocamlopt: {e}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(object)
    } else {
        Err(format!("ocamlopt: {errors}"))
    }
}

fn main() -> Result<(), String> {
    let out = std::env::var_os("OUT_DIR")
        .map(PathBuf::from)
        .ok_or("OUT_DIR is not set")?;
    let object = compile(&out)?;
    println!("cargo:rustc-link-arg-tests={}", object.display());
    for library in ["m", "pthread"] {
        println!("cargo:rustc-link-arg-tests=-l{library}");
    }
    Ok(())
}
