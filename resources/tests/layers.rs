//! The layers of the crate: a module imports from lower layers only.

use layers::{Layers, check};

#[test]
fn modules_import_from_lower_layers_only() {
    let layers: Layers<'_> = &[
        &["current", "types"],
        &[
            "console",
            "displays",
            "draw",
            "guest_agent",
            "inputs",
            "log_sink",
            "pipe",
            "random",
            "runtime",
            "tls",
            "vsock",
        ],
        &["metadata"],
        &["disks"],
        &["blocks", "files", "net", "system_descriptors"],
        &["statistics"],
    ];
    check(env!("CARGO_MANIFEST_DIR"), "src", layers);
}

#[test]
fn the_rooms_of_the_files_import_from_lower_layers_only() {
    let rooms: Layers<'_> = &[
        &["records"],
        &["leases", "open_files"],
        &["mounted_volume"],
        &["namespace"],
        &["engine"],
        &["calls"],
    ];
    check(env!("CARGO_MANIFEST_DIR"), "src/files", rooms);
    let volume: Layers<'_> = &[
        &["drivers", "job", "seed"],
        &["fiber", "options", "specification"],
        &["schedule"],
        &["attach", "embedded", "statistics"],
    ];
    check(
        env!("CARGO_MANIFEST_DIR"),
        "src/files/mounted_volume",
        volume,
    );
    let calls: Layers<'_> = &[&["descriptors"], &["leases", "mounting", "paths"]];
    check(env!("CARGO_MANIFEST_DIR"), "src/files/calls", calls);
}

#[test]
fn the_parts_of_the_network_import_from_lower_layers_only() {
    let layers: Layers<'_> = &[
        &[
            "address",
            "errors",
            "filter",
            "inspect",
            "mac",
            "offload",
            "recording",
            "status",
        ],
        &["ip_parameter"],
        &["configuration"],
        &["dns", "interfaces", "sockets"],
        &["echo", "ethernet", "services", "tcp", "udp"],
        &["bound", "driver", "urgent", "zero_copy"],
        &["mdns", "metadata"],
    ];
    check(env!("CARGO_MANIFEST_DIR"), "src/net", layers);
}
