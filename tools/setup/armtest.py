#!/usr/bin/env python3
"""`cargo test` of the crates for arm64, on a machine with another processor: QEMU translates the
programs' instructions and passes their system calls to this machine's Linux.

This shows what depends on the sizes, alignments and signs of C's types on arm64, on the numbers of
its system calls and on its instructions. It doesn't show weakly ordered memory, nor pages of other
sizes than this machine's. OMITTED lists the tests that can't run so.

Arguments: those of `cargo test`, in place of --workspace. --missing: print what this machine lacks,
or why it has no use for this, and run nothing.
"""

import os
import platform
import shutil
import subprocess
import sys

import cargotest

TARGET = "aarch64-unknown-linux-gnu"
COMPILER = "aarch64-linux-gnu-gcc"
EMULATOR = "qemu-aarch64"
# Debian's C library for cross compilers.
LIBRARIES = "/usr/aarch64-linux-gnu"

# Its test links objects of this machine's OCaml.
NOT_BUILT = "soil-interop"

# Programs by their names in the output, their tests by parts of names (none: all of them), and why
# they can't run.
OMITTED = (
    (
        "tests/run/main.rs (run)",
        (),
        "they start soil, and Linux starts no program for another processor",
    ),
    (
        "src/main.rs (soil)",
        ("a_held_program_is_at_its_first_instruction",),
        "QEMU has no ptrace",
    ),
    (
        "src/main.rs (soil)",
        ("the_terminal_passes_every_byte",),
        "QEMU has no TIOCGPTPEER",
    ),
    (
        "src/main.rs (soil)",
        (
            "a_process_has_the_options_as_its_defaults",
            "a_wrong_form_or_word_leaves_nothing",
            "this_program_has_a_loader_and_libraries",
        ),
        "the programs and the loader of this machine are for another processor",
    ),
    (
        "src/lib.rs (host)",
        ("folder::tests", "a_thread_does_what_takes_long"),
        "QEMU 7.2 has no openat2",
    ),
    (
        "src/lib.rs (host)",
        ("datagrams_have_senders_and_a_restricted_socket_receives_from_its_peer_only",),
        "QEMU has no IP_MULTICAST_ALL",
    ),
    (
        "src/lib.rs (host)",
        ("a_noted_signal_is_due_unless_the_thread_blocks_it",),
        "QEMU keeps signal 64 for itself",
    ),
    (
        "src/lib.rs (resources)",
        ("folders::works_on_a_ring", "folders::works_without_a_ring"),
        "QEMU 7.2 has no openat2",
    ),
)


def missing():
    """What the machine lacks, by the command that brings it."""
    if platform.machine() == "aarch64":
        yield "the other tests are for arm64 here"
        return
    packages = [
        package
        for package, found in (
            ("gcc-aarch64-linux-gnu", shutil.which(COMPILER)),
            ("qemu-user", shutil.which(EMULATOR)),
            ("libc6-dev-arm64-cross", os.path.exists(f"{LIBRARIES}/lib/libc.so.6")),
        )
        if not found
    ]
    if packages:
        yield f"apt-get install {' '.join(packages)}"
    words = ["rustc", "--print", "target-libdir", "--target", TARGET]
    folder = (
        shutil.which("rustc")
        and subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    )
    if not folder or not os.path.isdir(folder):
        yield f"rustup target add {TARGET}"


def emulated(programs):
    """The programs in QEMU, without the tests that can't run there."""
    for program in programs:
        command = (EMULATOR, "-L", LIBRARIES, *program.command)
        left_out = False
        for name, tests, why in OMITTED:
            if name == program.name:
                print(f"left out of {name}: {', '.join(tests) or 'all tests'}: {why}")
                left_out |= not tests
                command += tuple(word for test in tests for word in ("--skip", test))
        if not left_out:
            yield program._replace(command=command)


def main():
    lacks = "; ".join(missing())
    if lacks or sys.argv[1:] == ["--missing"]:
        print(lacks, end="\n" if lacks else "")
        return 0 if sys.argv[1:] == ["--missing"] else 1
    variable = TARGET.upper().replace("-", "_")
    os.environ[f"CARGO_TARGET_{variable}_LINKER"] = COMPILER
    os.environ[f"CC_{TARGET.replace('-', '_')}"] = COMPILER
    # Translated instructions take ten to twenty times as long: property tests of file systems would
    # take an hour without optimisation.
    os.environ.setdefault("CARGO_PROFILE_TEST_OPT_LEVEL", "2")
    words = sys.argv[1:] or ["--workspace", "--exclude", NOT_BUILT]
    built = cargotest.programs(["--locked", "--target", TARGET, *words])
    if built is None:
        return 1
    return 1 if cargotest.run_all(list(emulated(built[0]))) else 0


if __name__ == "__main__":
    sys.exit(main())
