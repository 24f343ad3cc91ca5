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
    for name in """soil/serve soil/storage/storage soil/lines soil/domains soil/trees
    unmodified/threads""".split()
]
# Limits are stated for machines of so many instructions a second; slower ones get a multiple.
INSTRUCTIONS = 10_000_000
SLOWEST = 20
SLOWNESS = int(os.environ.get("SOIL_TEST_SLOWNESS", "1"))
# Other monitors, which forbid themselves the shim's system calls, with the words that allow them.
MONITORS = {"firecracker": ["--no-seccomp"], "cloud-hypervisor": ["--seccomp", "false"]}
# The answer to the probe of `soil run` (tools/src/run/kvm.rs), which allows 3 s of processor time.
# Here it takes more, and `prepare` has probed.
WRAPPER = """#!/bin/sh
exec env LD_PRELOAD='{library}' '{program}' {words} "$@"
"""
QEMU_WRAPPER = """#!/bin/sh
case " $* " in *" -m 16M "*"/probe "*) exit 85 ;; esac
exec env LD_PRELOAD='{library}' '{program}' "$@"
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


def loads_libraries(program):
    """Whether a program has a dynamic linker: monitors of releases are static."""
    with open(program, "rb") as file:
        return b"/ld-linux" in file.read(4096)


def with_library():
    """A folder with monitors that preload the shim."""
    folder = os.path.join(BUILT, "bin")
    os.makedirs(folder, exist_ok=True)
    kinds = {"qemu-system-x86_64": (QEMU_WRAPPER, [])}
    kinds |= {name: (WRAPPER, words) for name, words in MONITORS.items()}
    for name, (text, words) in kinds.items():
        path = os.path.join(folder, name)
        program = shutil.which(name)
        if not program or name in MONITORS and not loads_libraries(program):
            continue
        made = f"{path}.{os.getpid()}"
        with open(made, "w", encoding="utf-8") as file:
            file.write(text.format(library=LIBRARY, program=program, words=" ".join(words)))
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
        file.write(QEMU_WRAPPER.format(library=libraries, program=qemu).partition("\n")[2])
    os.chmod(path, 0o755)
    return path


def monitor(name):
    """Why this run starts no machine by a monitor other than QEMU, or None."""
    path = shutil.which(name)
    if not KIND:
        return "without --kvm"
    if not path:
        return f"{name} isn't on PATH"
    if KIND == "assisted" and os.path.dirname(path) != os.path.join(BUILT, "bin"):
        return f"{path} loads no library: build it for x86_64-unknown-linux-gnu"
    return None


if __name__ == "__main__":
    print(missing() or probe()[0])
    sys.exit(0)
