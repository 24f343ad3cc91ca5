#!/usr/bin/env python3
"""KVM, for `tests/run.py --kvm`: whether it runs guests natively, and how fast.

Without hardware virtualization a host's KVM may run guests by its instruction emulator, about a
million instructions a second (kvm_pvm). That emulator refuses SSE, x87 and others: QEMU then gets
tests/assist/assist.c preloaded, which carries them out. Such a run is *assisted*.

Run as a program: prints "native", "assisted", or why KVM runs no guest.
"""

import math
import os
import platform
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCES = os.path.join(ROOT, "tests", "assist")
BUILT = os.path.join(ROOT, "target", "assist")
LIBRARY = os.path.join(BUILT, "assist.so")
CHECK = os.path.join(BUILT, "check")
DEVICE = "/dev/kvm"
# "native", "assisted", or "" without --kvm.
KIND = os.environ.get("SOIL_TEST_KVM", "")
# Images of the benchmark, whose exits tests/cases/exits.py counts.
COUNTED = [
    f"_build/soil/bench/programs/{name}.exe"
    for name in "soil/serve soil/storage/storage soil/domains soil/trees unmodified/threads".split()
]
# Limits are stated for machines of so many instructions a second; slower ones get a multiple.
INSTRUCTIONS = 10_000_000
SLOWEST = 20
SLOWNESS = int(os.environ.get("SOIL_TEST_SLOWNESS", "1"))
# The answer to the probe of `soil run` (tools/src/run/kvm.rs), which allows 3 s of processor time.
# Here it takes more, and `prepare` has probed.
WRAPPER = """#!/bin/sh
case " $* " in *" -m 16M "*"/probe "*) exit 85 ;; esac
exec env LD_PRELOAD='{library}' '{qemu}' "$@"
"""


def compiled(source, target, *options):
    """Compiles a file of tests/assist unless it is compiled."""
    source = os.path.join(SOURCES, source)
    if os.path.exists(target) and os.path.getmtime(target) >= os.path.getmtime(source):
        return
    os.makedirs(BUILT, exist_ok=True)
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-fno-strict-aliasing", *options]
    # Another run may use it meanwhile.
    made = f"{target}.{os.getpid()}"
    subprocess.run([*command, "-o", made, source], check=True)
    os.replace(made, target)


def build():
    """The shim and its test, of x86-64 only."""
    compiled("assist.c", LIBRARY, "-shared", "-fPIC", "-ldl")
    compiled("check.c", CHECK)


def missing():
    """Why KVM runs no guest here, or None."""
    if not os.path.exists(DEVICE):
        return f"no {DEVICE}: the host has no KVM, or this machine no nested virtualization"
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return f"{DEVICE} isn't this user's: add the user to the group kvm"
    if platform.machine() != "x86_64":
        return None
    for tool in ("gcc", "qemu-system-x86_64"):
        if not shutil.which(tool):
            return f"{tool} is missing"
    try:
        probe()
    except (OSError, ValueError, subprocess.SubprocessError) as problem:
        return f"{DEVICE} runs no guest: {problem}"
    return None


def probe():
    """The kind of KVM, and the instructions a second of a guest."""
    if platform.machine() != "x86_64":
        return "native", 10**9
    build()
    command = [CHECK, "--probe"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    kind, speed = done.stdout.split()
    return kind, max(1, int(speed))


def prepare():
    """Chooses how this run's machines use KVM, in the environment. Returns why it can't, or
    None."""
    if reason := missing():
        return reason
    kind, speed = probe()
    slowness = min(SLOWEST, max(1, math.ceil(INSTRUCTIONS / speed)))
    print(f"KVM: {kind}, {speed / 1e6:.1f} million instructions a second, limits x {slowness}")
    os.environ |= {"SOIL_TEST_KVM": kind, "SOIL_TEST_SLOWNESS": str(slowness)}
    if kind == "assisted":
        os.environ["PATH"] = with_library() + os.pathsep + os.environ["PATH"]
    return None


def with_library():
    """A folder with a QEMU that preloads the shim."""
    name = "qemu-system-x86_64"
    folder = os.path.join(BUILT, "bin")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    made = f"{path}.{os.getpid()}"
    with open(made, "w", encoding="utf-8") as file:
        file.write(WRAPPER.format(library=LIBRARY, qemu=shutil.which(name)))
    os.chmod(made, 0o755)
    os.replace(made, path)
    return folder


def preempting(path, report):
    """Writes to `path` a QEMU whose virtual processors are taken away all the time. Its end writes
    to `report` how often KVM was asked to flush the translations of one meanwhile."""
    library = os.path.join(BUILT, "preempt.so")
    compiled("preempt.c", library, "-shared", "-fPIC", "-pthread", "-ldl")
    libraries = f"{library} {LIBRARY}" if KIND == "assisted" else library
    folders = os.environ["PATH"].split(os.pathsep)
    others = os.pathsep.join(each for each in folders if each != os.path.join(BUILT, "bin"))
    qemu = shutil.which("qemu-system-x86_64", path=others)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\nexport PREEMPT_REPORT='{report}'\n")
        file.write(WRAPPER.format(library=libraries, qemu=qemu).partition("\n")[2])
    os.chmod(path, 0o755)
    return path


if __name__ == "__main__":
    print(missing() or probe()[0])
    sys.exit(0)
