//! The layers of the crate, as `src/lib.rs` draws them: a module imports from lower layers only.

use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom up. Modules of one layer don't import each other.
const LAYERS: [&[&str]; 6] = [
    &["types", "hash"],
    &["ip"],
    &["tcp", "udp", "ping", "ethernet"],
    &["sockets"],
    &["stack"],
    &["transport"],
];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

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

/// The modules of the crate that code names, without comments and unit tests.
fn imports(source: &str) -> impl Iterator<Item = &str> {
    let code = source.split("#[cfg(test)]\nmod tests").next().unwrap_or("");
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let after = lines.flat_map(|line| line.split("crate::").skip(1));
    after.filter_map(|rest| {
        rest.split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
    })
}

#[test]
fn modules_import_from_lower_layers_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let (mut checked, mut wrong) = (0, Vec::new());
    for file in files {
        let inside = file.strip_prefix(&root).expect("below the root");
        let first = inside.components().next().expect("a name").as_os_str();
        let module = first.to_string_lossy().trim_end_matches(".rs").to_owned();
        let is_test = inside.components().any(|part| part.as_os_str() == "tests")
            || inside.ends_with("tests.rs");
        let Some(own) = layer(&module).filter(|_| !is_test) else {
            continue;
        };
        let source = fs::read_to_string(&file).expect("a source file");
        for import in imports(&source) {
            checked += 1;
            let below = layer(import).is_some_and(|other| other < own);
            // The simulation is there in tests only.
            if import != module && import != "sim" && !below {
                wrong.push(format!("{} imports {import}", inside.display()));
            }
        }
    }
    assert!(checked > 100, "{checked}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
