//! Symbols that other objects refer to: two crates export them, and assembly.

use layers::check_places;

/// See [`check_places`].
const PLACES: [(&str, &str); 11] = [
    ("soil-sys/src", "the C ABI"),
    ("libc-compat/src", "the C library of the program"),
    (
        "platform/sim/src/stub.rs",
        "the address of a system call, in assembly",
    ),
    ("kernel/src/arch", "entries, gates and memcpy: assembly"),
    (
        "kernel/src/boot.rs",
        "the first function, which assembly calls",
    ),
    ("kernel/src/part.rs", "parts that the link driver asks for"),
    (
        "loader/src/bin",
        "programs of their own, which firmware starts",
    ),
    ("loader/src/handover", "assembly that is copied"),
    ("loader/src/memory", "functions of C's library"),
    ("bench/responder", "a program of its own"),
    ("tests/programs/rust", "a user's library"),
];

/// Whether a file defines a global symbol.
fn exports(text: &str) -> bool {
    let mut code = text.lines().map(str::trim_start);
    let words = ["no_mangle", "export_name", ".globl"];
    code.any(|line| !line.starts_with("//") && words.iter().any(|word| line.contains(word)))
}

#[test]
fn two_crates_export_symbols() {
    check_places("a symbol", exports, &PLACES);
}
