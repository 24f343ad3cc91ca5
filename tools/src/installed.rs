//! Finds the files that are installed with this program.

use std::path::{Path, PathBuf};

/// The places of such a file: beside this program, or where `make install` and opam put it.
pub fn places(name: &str) -> Vec<PathBuf> {
    let program = std::env::current_exe().and_then(|path| path.canonicalize());
    let Some(folder) = program
        .ok()
        .as_deref()
        .and_then(Path::parent)
        .map(Path::to_owned)
    else {
        return Vec::new();
    };
    let below = ["lib/soil", "lib/ocaml/soil", "share/soil"];
    let installed = below.map(|below| folder.join("..").join(below).join(name));
    [folder.join(name)].into_iter().chain(installed).collect()
}

/// The first of these places that has a file; if none has, all of them, for the error.
pub fn first(places: &[PathBuf]) -> Result<PathBuf, String> {
    let found = places.iter().find(|place| place.is_file()).cloned();
    found.ok_or_else(|| {
        let places = places.iter().map(|place| place.display().to_string());
        places.collect::<Vec<_>>().join(", ")
    })
}
