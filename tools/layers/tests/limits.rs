//! Limits on the ways around the compiler, in the code of the product.

use std::fs;
use std::path::{Path, PathBuf};

/// Words, the number of lines of code or comment that may have them, and why there is a limit.
const LIMITS: &[(&str, usize, &str)] = &[
    (
        "transmute",
        4,
        "a typed static or a trait object has the type",
    ),
    ("Hidden from the compiler", 0, "a call says where it leads"),
    ("#[path", 0, "a crate is imported, not included"),
];

/// Adds the source files of the product below `folder`: without tests, examples and models.
fn find(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let is_left_out = [
            "target", "tests", "tests.rs", "examples", "models", "layers", "bench",
        ];
        if path.is_symlink() || name.starts_with(['.', '_']) || is_left_out.contains(&&*name) {
            continue;
        }
        if path.is_dir() {
            find(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn few_places_go_around_the_compiler() {
    let mut files = Vec::new();
    find(&layers::root(), &mut files);
    assert!(files.len() > 500, "{}", files.len());
    for (word, limit, why) in LIMITS {
        let mut places = Vec::new();
        for file in &files {
            let text = fs::read_to_string(file).expect("a source file");
            for (number, line) in text.lines().enumerate() {
                let is_import = line.trim_start().starts_with("use ");
                if line.contains(word) && !is_import {
                    places.push(format!("{}:{}", file.display(), number + 1));
                }
            }
        }
        assert!(
            places.len() <= *limit,
            "{word}: more than {limit} ({why}): {places:#?}"
        );
    }
}

/// Statics with functions that are stored at run time, and the reason for each.
const POINTERS: &[(&str, &str)] = &[
    ("HANDLERS", "the vectors of devices are known at run time"),
    (
        "TRAP",
        "the border uses nothing of the kernel; assembly calls it",
    ),
    ("SYSTEM_CALL", "the same"),
    ("PREEMPTED", "the same"),
];

#[test]
fn few_functions_are_stored_at_run_time() {
    let mut files = Vec::new();
    find(&layers::root(), &mut files);
    let mut stored = Vec::new();
    // The folders of processors have the same.
    for file in files
        .iter()
        .filter(|file| !file.iter().any(|name| name == "aarch64"))
    {
        let text = fs::read_to_string(file).expect("a source file");
        // Others' variables have no value here.
        let statics = text.lines().filter(|line| {
            line.contains("static ") && line.contains("AtomicPtr<()>") && line.contains('=')
        });
        let names = statics.filter_map(|line| line.split("static ").nth(1)?.split(':').next());
        stored.extend(names.map(String::from));
    }
    let mut known: Vec<&str> = POINTERS.iter().map(|(name, _)| *name).collect();
    known.sort_unstable();
    stored.sort_unstable();
    assert_eq!(
        stored, known,
        "call it, or use a slot of kernel/src/part.rs"
    );
}
