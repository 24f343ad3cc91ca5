//! The layers of the crate, as `src/lib.rs` draws them: a module imports from lower layers only.

use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom up. Modules of one layer don't import each other.
const LAYERS: [&[&str]; 5] = [
    &["types", "current"],
    &["runtime", "random", "log_sink"],
    &["disks"],
    &[
        "net",
        "files",
        "blocks",
        "console",
        "displays",
        "draw",
        "inputs",
        "pipe",
        "system_descriptors",
        "tls",
    ],
    &["statistics"],
];

/// The same of the folder `files`: from what a request is to the calls of a program.
const FILES: [&[&str]; 10] = [
    &["request", "drivers"],
    &["worker", "specification", "options", "resolution"],
    &["job", "cache"],
    &["schedule", "open_files"],
    &["volume"],
    &["mounts", "embedded", "opening", "lease"],
    &["resolve"],
    &["answer"],
    &["execute"],
    &["open", "paths", "volumes"],
];

/// The same of the folder `net`.
const NET: [&[&str]; 8] = [
    &["address", "errors", "mac", "offload", "recording"],
    &["configuration", "dns"],
    &["sockets", "services"],
    &["status", "inspect"],
    &["driver"],
    &[
        "tcp",
        "udp",
        "echo",
        "ethernet",
        "filter",
        "interfaces",
        "mdns",
    ],
    &["bound", "urgent"],
    &["zero_copy"],
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the crate") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The modules that code names after `prefix`, without comments and unit tests. What begins with a
/// capital is a type of the parent, which joins the modules.
fn imports<'a>(source: &'a str, prefix: &str) -> Vec<&'a str> {
    let code = source.split("#[cfg(test)]\nmod tests").next().unwrap_or("");
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let mut found = Vec::new();
    for rest in lines.flat_map(|line| line.split(prefix).skip(1)) {
        let group = rest.strip_prefix('{');
        let many = group.map_or(1, |_| usize::MAX);
        for name in group.unwrap_or(rest).split(", ").take(many) {
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
            let name = &name[..end.unwrap_or(name.len())];
            if name.starts_with(char::is_lowercase) {
                found.push(name);
            }
        }
    }
    found
}

/// Holds the modules in `folder`, which name each other after `prefix`, to their layers; returns
/// how many imports there are.
fn check(folder: &str, prefix: &str, layers: &[&[&str]]) -> usize {
    let layer = |module: &str| layers.iter().position(|layer| layer.contains(&module));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    sources(&root, &mut files);
    let (mut checked, mut wrong) = (0, Vec::new());
    for file in files {
        let inside = file.strip_prefix(&root).expect("below the root");
        let first = inside.components().next().expect("a name").as_os_str();
        let module = first.to_string_lossy().trim_end_matches(".rs").to_owned();
        let is_test = inside.components().any(|part| part.as_os_str() == "tests")
            || inside.ends_with("tests.rs");
        // In a folder below, `super` is another module.
        let is_deep = prefix == "super::" && inside.components().count() > 1;
        let Some(own) = layer(&module).filter(|_| !is_test && !is_deep) else {
            continue;
        };
        let source = fs::read_to_string(&file).expect("a source file");
        for import in imports(&source, prefix) {
            checked += 1;
            // A function of the parent has a lower-case name, too.
            let is_parents = prefix == "super::" && layer(import).is_none();
            let is_below = layer(import).is_some_and(|other| other < own);
            if import != module && !is_parents && !is_below {
                wrong.push(format!("{} imports {import}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    checked
}

#[test]
fn modules_import_from_lower_layers_only() {
    let checked = check("src", "crate::", &LAYERS);
    assert!(checked > 80, "{checked}");
}

#[test]
fn the_steps_of_an_operation_on_files_import_from_lower_layers_only() {
    let checked = check("src/files", "super::", &FILES);
    assert!(checked > 40, "{checked}");
}

#[test]
fn the_parts_of_the_network_import_from_lower_layers_only() {
    let checked = check("src/net", "super::", &NET);
    assert!(checked > 20, "{checked}");
}
