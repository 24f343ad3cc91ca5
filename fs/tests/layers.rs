//! The layers of the crate: a module imports from lower layers only.

use layers::{Layers, check};

#[test]
fn modules_import_from_lower_layers_only() {
    let layers: Layers<'_> = &[
        &[
            "barrier",
            "block",
            "bytes",
            "error",
            "fake",
            "handles",
            "memory_pressure",
            "options",
            "path",
        ],
        &["cache", "mounts", "partition", "walk"],
        &["lease"],
        &["fat", "tree", "volume"],
        &["embedded", "ext4", "memory", "tar"],
    ];
    check(env!("CARGO_MANIFEST_DIR"), "src", layers);
}
