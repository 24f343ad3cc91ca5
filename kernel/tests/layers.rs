//! The border of processors and machines.

use layers::check_place;

/// What is of one processor, or of one machine, is behind the border.
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
        check_place(env!("CARGO_MANIFEST_DIR"), "src", &["arch", "board"], word);
    }
}
