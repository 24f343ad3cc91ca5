//! The layers of the crate: a module imports from lower layers only.

use layers::{Layers, check};

#[test]
fn modules_import_from_lower_layers_only() {
    let layers: Layers<'_> = &[
        &["error", "variables", "folders"],
        &["disk", "display", "input", "link", "port", "vsock"],
    ];
    check(env!("CARGO_MANIFEST_DIR"), "src", layers);
}
