//! The border of processors, over all crates: `target_arch` chooses code behind it only.

use layers::check_places;

/// See [`check_places`].
const PLACES: [(&str, &str); 14] = [
    ("kernel/src/arch", "the border: processors"),
    ("kernel/src/board", "the border: machines"),
    ("kernel/Cargo.toml", "a crate of x86-64's registers"),
    ("libc-compat/src/glibc", "jumps behind glibc's names"),
    (
        "drivers/src/register.rs",
        "accesses of registers, which KVM emulates on arm64 in plain forms only",
    ),
    ("reactor/src/fiber.rs", "the switch of stacks"),
    (
        "platform/host/src/crash/machine.rs",
        "registers in a signal's context, the switch to the report's stack",
    ),
    ("platform/sim", "traps of a processor's system calls"),
    (
        "resources/src/tls.rs",
        "instructions for AES, in both platforms",
    ),
    (
        "libc-compat/src/modules.rs",
        "weak references, which Rust can't express",
    ),
    ("loader/src/handover.rs", "the jump into an image"),
    ("loader/src/bin/uefi", "the processor as firmware leaves it"),
    (
        "loader/src/memory.rs",
        "functions of C's library, in assembly",
    ),
    ("loader/src/elf.rs", "which images a loader takes"),
];

/// Returns whether a file chooses code by the processor; comments don't count, nor do strings, such
/// as those of tests.
fn chooses(text: &str) -> bool {
    let lines = text.lines().map(str::trim_start);
    let mut code = lines.filter(|line| !line.starts_with("//"));
    code.any(|line| line.contains("target_arch = "))
}

#[test]
fn code_is_chosen_by_the_processor_behind_the_border_only() {
    check_places("code for a processor", chooses, &PLACES);
}
