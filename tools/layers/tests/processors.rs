//! The border of processors, over all crates: `target_arch` chooses code behind it only.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The places, as the beginnings of paths below the repository, and why each is one.
const PLACES: [(&str, &str); 11] = [
    ("kernel/src/arch", "the border: processors"),
    ("kernel/src/board", "the border: machines"),
    ("kernel/Cargo.toml", "a crate of x86-64's registers"),
    ("kernel/src/glibc", "jumps behind glibc's names"),
    (
        "drivers/src/register.rs",
        "accesses of registers, which KVM emulates on arm64 in plain forms only",
    ),
    ("reactor/src/fiber.rs", "the switch of stacks"),
    (
        "resources/src/tls.rs",
        "instructions for AES, in both platforms",
    ),
    (
        "soil-sys/src/weak.rs",
        "weak references, which Rust can't express",
    ),
    ("loader/src/handover.rs", "the jump into an image"),
    ("loader/src/bin/uefi", "the processor as firmware leaves it"),
    ("loader/src/elf.rs", "which images a loader takes"),
];

/// Returns whether a file chooses code by the processor; comments don't count, nor do strings, such
/// as those of tests.
fn chooses(text: &str) -> bool {
    let lines = text.lines().map(str::trim_start);
    let mut code = lines.filter(|line| !line.starts_with("//"));
    code.any(|line| line.contains("target_arch = "))
}

/// Adds the files below `folder` that choose code by the processor, as paths below `root`.
fn find(root: &Path, folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            // What builds write, crates of others, and git's own.
            if !name.starts_with(['.', '_']) && !["target", "vendor"].contains(&&*name) {
                find(root, &path, found);
            }
        } else if name.ends_with(".rs") || name == "Cargo.toml" {
            let text = fs::read_to_string(&path).expect("a source file");
            if chooses(&text) {
                let below = path.strip_prefix(root).expect("below the root");
                found.insert(below.to_string_lossy().into());
            }
        }
    }
}

#[test]
fn code_is_chosen_by_the_processor_behind_the_border_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.canonicalize().expect("the repository");
    let mut found = BTreeSet::new();
    find(&root, &root, &mut found);
    let here = "tools/layers/tests/processors.rs";
    let is_behind =
        |file: &&String| *file == here || PLACES.iter().any(|(place, _)| file.starts_with(place));
    let wrong: Vec<_> = found.iter().filter(|file| !is_behind(file)).collect();
    assert!(
        wrong.is_empty(),
        "target_arch belongs behind the border (ARCHITECTURE.md), not into {wrong:#?}"
    );
    for (place, why) in PLACES {
        let is_used = found.iter().any(|file| file.starts_with(place));
        assert!(
            is_used,
            "{place} ({why}) chooses nothing: take it off the list"
        );
    }
}
