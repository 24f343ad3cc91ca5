//! The layers of the crate: a module imports from lower layers only.

use layers::{Layers, check, check_place};

#[test]
fn modules_import_from_lower_layers_only() {
    let layers: Layers<'_> = &[
        &["arch", "cell", "errno", "glibc"],
        &["memory"],
        &["firmware"],
        &["interrupts"],
        &["console"],
        &["environment", "power", "random", "time"],
        &["crash", "devices", "extension"],
        &["signals"],
        &["wait"],
        &["syscall", "traps"],
        &["boot", "threads"],
    ];
    check(env!("CARGO_MANIFEST_DIR"), "src", layers);
}

#[test]
fn memory_is_built_in_layers() {
    let layers: Layers<'_> = &[
        &["aslr", "frames", "layout", "reserve", "tlb", "vma"],
        &["physical", "windows"],
        &["space"],
        &["describe", "device", "heap", "mapping", "stacks", "start"],
        &["user"],
    ];
    check(env!("CARGO_MANIFEST_DIR"), "src/memory", layers);
}

#[test]
fn only_arch_uses_the_crate_x86_64() {
    check_place(env!("CARGO_MANIFEST_DIR"), "src", "arch", "x86_64::");
}
