//! The layers of the crate: a module imports from lower layers only.

use layers::{Layers, check};

#[test]
fn modules_import_from_lower_layers_only() {
    let layers: Layers<'_> = &[
        &["current", "types"],
        &[
            "console", "disks", "displays", "draw", "inputs", "log_sink", "pipe", "random",
            "runtime", "tls",
        ],
        &["blocks", "files", "net", "system_descriptors"],
        &["statistics"],
    ];
    check(env!("CARGO_MANIFEST_DIR"), "src", layers);
}

#[test]
fn the_steps_of_an_operation_on_files_import_from_lower_layers_only() {
    let layers: Layers<'_> = &[
        &["drivers", "request"],
        &["options", "resolution", "specification", "worker"],
        &["cache", "job"],
        &["lease", "open_files", "schedule"],
        &["volume"],
        &["embedded", "mounts", "opening"],
        &["resolve"],
        &["answer"],
        &["execute"],
        &["open", "paths", "volumes"],
    ];
    check(env!("CARGO_MANIFEST_DIR"), "src/files", layers);
}

#[test]
fn the_parts_of_the_network_import_from_lower_layers_only() {
    let layers: Layers<'_> = &[
        &[
            "address",
            "configuration",
            "errors",
            "filter",
            "inspect",
            "mac",
            "offload",
            "recording",
            "status",
        ],
        &["dns", "interfaces", "sockets"],
        &["echo", "ethernet", "services", "tcp", "udp"],
        &["bound", "driver", "urgent", "zero_copy"],
        &["mdns"],
    ];
    check(env!("CARGO_MANIFEST_DIR"), "src/net", layers);
}
