//! The layers of the crate: a module imports from lower layers only.

use layers::{Layers, check};

#[test]
fn modules_import_from_lower_layers_only() {
    let layers: Layers<'_> = &[
        &["device_type", "memory", "register"],
        &["error", "pci"],
        &["transport"],
        &["queue"],
        &["device", "disk", "shadow"],
        &[
            "blk", "console", "gpu", "input", "net", "nvme", "rng", "scsi", "vsock",
        ],
        &["bochs", "linear", "fake"],
    ];
    check(env!("CARGO_MANIFEST_DIR"), "src", layers);
}
