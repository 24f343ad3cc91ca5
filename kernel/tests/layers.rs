//! The layers of the crate: a module imports from lower layers only.

use layers::{Layers, check, check_place};

#[test]
fn modules_import_from_lower_layers_only() {
    let layers: Layers<'_> = &[
        &["arch"],
        &["peers"],
        &["cell", "clock", "errno", "free_lists", "glibc"],
        &["memory"],
        &["firmware"],
        &["board"],
        &["interrupts"],
        &["console"],
        &["environment", "power", "random", "time"],
        &["crash", "devices", "extension"],
        &["signals"],
        &["wait"],
        &["syscall", "traps"],
        &["boot", "processors", "threads"],
    ];
    check(env!("CARGO_MANIFEST_DIR"), "src", layers);
}

#[test]
fn memory_is_built_in_layers() {
    let layers: Layers<'_> = &[
        &[
            "aslr", "frames", "layout", "reserve", "tables", "tlb", "vma",
        ],
        &["clear", "physical", "windows"],
        &["space"],
        &["describe", "device", "heap", "mapping", "stacks", "start"],
        &["user"],
    ];
    check(env!("CARGO_MANIFEST_DIR"), "src/memory", layers);
}

/// What is of one processor, or of one machine, is behind the border; the shims of glibc's names
/// are jumps, which have no other place.
#[test]
fn processors_and_machines_are_behind_the_border() {
    let words = [
        "x86_64::",
        "asm!",
        "cpuid",
        "rdtsc",
        "cr3",
        " rsp",
        " rdi",
        "Port::",
        "cfg(target_arch",
    ];
    for word in words {
        check_place(
            env!("CARGO_MANIFEST_DIR"),
            "src",
            &["arch", "board", "glibc"],
            word,
        );
    }
}
