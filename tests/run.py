#!/usr/bin/env python3
"""Runs the end-to-end tests; see tests/README.md.

Usage: tests/run.py [--long | --short | --rest] [--list] [--jobs N] [--arch aarch64] [--kvm] [--cpus N] [WORD…]: only
the tests whose name contains a WORD. With --arch the images are for that processor, emulated by
QEMU; tests of PCs and of processes are skipped. With --kvm machines run under KVM, natively or by
its instruction emulator (harness/kvm.py). With --cpus the images have N processors.
"""

import os
import shlex
import signal
import sys

TESTS = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, TESTS)

# Set-up's OCaml, Rust and unpacked libraries, as `make test` has them. Once: the runner executes
# this file again in its sandbox.
LOADED = "SOIL_TEST_ENVIRONMENT"
SETUP = os.path.join(TESTS, "../tools/setup/setup.sh")
if LOADED not in os.environ:
    os.environ[LOADED] = "loaded"
    load = f'PATH="$PATH:$HOME/.cargo/bin"; eval "$({shlex.quote(SETUP)} environment)"; exec "$@"'
    os.execvp("sh", ["sh", "-c", load, "sh", sys.executable, *sys.argv])

# What forms there are is known before the tests are collected.
for option in ("arch", "cpus"):
    variable = f"SOIL_TEST_{option.upper()}"
    for number, word in enumerate(sys.argv):
        if word.startswith(f"--{option}="):
            os.environ[variable] = word.removeprefix(f"--{option}=")
        elif word == f"--{option}" and number + 1 < len(sys.argv):
            os.environ[variable] = sys.argv[number + 1]

from harness import kvm  # noqa: E402

if "--kvm" in sys.argv and not kvm.KIND:
    if reason := kvm.prepare():
        sys.exit(f"error: --kvm: {reason}")
    os.execv(sys.executable, [sys.executable, *sys.argv])

from harness import runner  # noqa: E402

if __name__ == "__main__":
    # A shell without job control starts background jobs with these two signals ignored, and `soil
    # run` would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    sys.exit(runner.main())
