//! The references between the repository's files, as its code has them, for tests of its structure.

pub mod circles;
pub mod modules;
pub mod ocaml;
mod tokens;

use modules::{Program, References};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Returns the repository's folder.
///
/// # Panics
/// If it has moved since this crate was compiled.
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the repository")
}

/// Returns the folders of all crates, from the repository's root.
pub fn crates() -> Vec<PathBuf> {
    let root = root();
    let manifests = files(&root).into_iter();
    let manifests = manifests.filter(|file| file.ends_with("Cargo.toml"));
    let folders = manifests.filter_map(|file| Some(file.parent()?.to_owned()));
    folders
        .filter(|folder| folder.join("src").exists())
        .map(|folder| below(&root, &folder))
        .collect()
}

/// Returns the references between the files of the crate in `folder`. Paths are from the
/// repository's root.
///
/// # Panics
/// If the crate has no source.
pub fn references(folder: &Path) -> References {
    let root = root();
    let own = root.join(folder);
    let manifest = fs::read_to_string(own.join("Cargo.toml")).expect("a crate");
    let named = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"")?.split('"').next());
    let programs = fs::read_dir(own.join("src/bin")).into_iter().flatten();
    let programs = programs.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = named.map(|path| own.join(path)).collect();
    files.extend(["src/lib.rs", "src/main.rs"].map(|name| own.join(name)));
    files.extend(programs.flat_map(|path| [path.join("main.rs"), path]));
    files.retain(|file| file.extension().is_some_and(|it| it == "rs") && file.is_file());
    files.sort();
    files.dedup();
    let mut found = References::new();
    for file in files {
        Program::read(&file).references(&mut found);
    }
    // Files of other crates that this one includes are none of its own.
    found.retain(|(from, to), _| from.starts_with(&own) && to.starts_with(&own));
    all_below(&root, found)
}

/// Returns the references between the files of OCaml's libraries, from the repository's root.
pub fn ocaml_references() -> References {
    let root = root();
    let mut found = References::new();
    ocaml::references(
        &["soil-ocaml", "packages"].map(|name| root.join(name)),
        &mut found,
    );
    all_below(&root, found)
}

/// Checks that only the modules `places` contain `name`, of those in `folder` of the crate at
/// `root`.
///
/// # Panics
/// If another one does, or none of `places`.
pub fn check_place(root: &str, folder: &str, places: &[&str], name: &str) {
    let inside = Path::new(root).join(folder);
    let contains = |file: &PathBuf| {
        let text = fs::read_to_string(file).expect("a source file");
        text.contains(name)
    };
    let is_there = |file: &PathBuf| {
        let path = file.strip_prefix(&inside).expect("below the folder");
        let module = path
            .components()
            .next()
            .map(|name| Path::new(name.as_os_str()).with_extension(""));
        module.is_some_and(|module| places.iter().any(|place| module == Path::new(place)))
    };
    let sources = files(&inside).into_iter();
    let sources = sources.filter(|file| file.extension().is_some_and(|it| it == "rs"));
    let found = sources.filter(contains);
    let (right, wrong): (Vec<_>, Vec<_>) = found.partition(is_there);
    assert!(wrong.is_empty(), "{name} belongs to {places:?}: {wrong:#?}");
    assert!(!right.is_empty(), "nothing in {places:?} contains {name}");
}

fn below(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root).unwrap_or(path).to_owned()
}

fn all_below(root: &Path, found: References) -> References {
    let found = found.into_iter();
    found
        .map(|((from, to), names)| ((below(root, &from), below(root, &to)), names))
        .collect()
}

/// Checks the Rust files and manifests of the repository: only those below `places` contain `what`,
/// by `is_in`. A place is the beginning of a path below the repository, with its reason.
///
/// # Panics
/// If another file contains it, or none below one of `places`.
pub fn check_places(what: &str, is_in: fn(&str) -> bool, places: &[(&str, &str)]) {
    let root = root();
    let found = files(&root).into_iter().filter(|file| {
        let is_code = file.extension().is_some_and(|it| it == "rs") || file.ends_with("Cargo.toml");
        // The checks have the words that they search for.
        is_code
            && !file.starts_with(root.join("tools/layers"))
            && is_in(&fs::read_to_string(file).expect("a source file"))
    });
    let found: BTreeSet<String> = found
        .map(|file| below(&root, &file).to_string_lossy().into())
        .collect();
    let is_place = |file: &&String| places.iter().any(|(place, _)| file.starts_with(place));
    let wrong: Vec<_> = found.iter().filter(|file| !is_place(file)).collect();
    assert!(
        wrong.is_empty(),
        "{what} belongs to {places:#?}, not into {wrong:#?}"
    );
    for (place, why) in places {
        let is_used = found.iter().any(|file| file.starts_with(place));
        assert!(
            is_used,
            "{place} ({why}) has no {what}: take it off the list"
        );
    }
}

/// Returns the files below a folder: no links, what builds write, crates of others, and git's own.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_own = !name.starts_with(['.', '_']) && name != "target" && name != "vendor";
        if path.is_dir() && is_own && !path.is_symlink() {
            found.append(&mut files(&path));
        } else if path.is_file() && !path.is_symlink() {
            found.push(path);
        }
    }
    found
}
