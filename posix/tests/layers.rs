//! Rules on the crate's modules.

use std::path::Path;

/// No kind of file uses another, except a directory the regular files.
#[test]
fn kinds_of_files_do_not_know_each_other() {
    let folder = Path::new("posix/src/files");
    let kind = |file: &Path| {
        Some(
            file.strip_prefix(folder)
                .ok()?
                .components()
                .next()?
                .as_os_str()
                .to_owned(),
        )
    };
    let references = layers::references(Path::new("posix"));
    assert!(references.len() > 100, "{}", references.len());
    for (from, to) in references.keys() {
        if let (Some(one), Some(other)) = (kind(from), kind(to)) {
            let is_allowed =
                one == other || (one, other) == ("directory.rs".into(), "regular.rs".into());
            assert!(is_allowed, "{} uses {}", from.display(), to.display());
        }
    }
}
