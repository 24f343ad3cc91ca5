//! The layers of the crate, as drawn in `src/lib.rs`.

use layers::check;

#[test]
fn modules_import_from_lower_layers_only() {
    let layers: layers::Layers<'_> = &[
        &["errors"],
        &["current_directory", "stat", "wait"],
        &["file"],
        &["table", "locks", "mappings", "console"],
        &["process"],
        &["locking", "select", "mapping"],
        &["files"],
        &["namespace"],
        &["sockets"],
        &["system_calls"],
    ];
    let checked = check(env!("CARGO_MANIFEST_DIR"), "src", layers);
    assert!(checked > 100, "{checked}");
}

/// No kind of file uses another, except a directory its volume.
#[test]
fn kinds_of_files_do_not_know_each_other() {
    let layers: layers::Layers<'_> = &[
        &[
            "devices", "epoll", "eventfd", "pipe", "proc", "signalfd", "timerfd", "regular",
        ],
        &["directory"],
    ];
    check(env!("CARGO_MANIFEST_DIR"), "src/files", layers);
}
