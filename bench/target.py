"""The processor of the guests: x86-64, or the one that `run.py --arch` names before it loads the
modules that use this one."""

import os
import sys
import typing

ARCH = os.environ.get("SOIL_BENCH_ARCH", "x86_64")
VIRTIO = ["virtio_ring", "virtio"]
PCI = [*VIRTIO, "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci"]


# What is built for another processor.
EXAMPLES = ["hello", "echo", "website"]
UNMODIFIED = ["threads", "files", "serve"]
PEERS = ["hello", "serve", "disk", "domains", "files", "storage", "trees", "threads"]


class Target(typing.NamedTuple):
    """Everything that depends on the processor."""

    images: str  # dune's context of Soil's images
    peers: str  # dune's context of the peer's programs
    tools: str  # what the names of its compiler and binutils begin with
    qemu: str
    cpu: str  # QEMU's model
    kernel: str  # Debian's flavour of the peer's kernel
    options: str  # the kernel command line that boots fastest
    machines: dict  # the peer's drivers by machine, in the order of their dependencies
    floor: list  # the options that link floor/ARCH.S


TARGETS = {
    "x86_64": Target(
        images="soil",
        peers="default",
        tools="",
        qemu="qemu-system-x86_64",
        # With `max` Linux copies by `rep movsb`, which is slow under TCG.
        cpu="qemu64",
        kernel="cloud-amd64",
        options="console=ttyS0 reboot=t",
        machines={"microvm": [*VIRTIO, "virtio_mmio"], "q35": PCI},
        floor=["-n", "-e", "start", "-Ttext", "0x100000"],
    ),
    "aarch64": Target(
        images="soil-aarch64",
        peers="linux-aarch64",
        tools="aarch64-linux-gnu-",
        qemu="qemu-system-aarch64",
        # Linux boots faster than on `max`: no pointer authentication, fewer features to set up.
        cpu="neoverse-n1",
        kernel="cloud-arm64",
        options="console=ttyAMA0 nokaslr",
        machines={"virt": [*VIRTIO, "virtio_mmio"], "virt-pci": PCI},
        floor=["-Ttext", "0"],
    ),
}
if ARCH not in TARGETS:
    sys.exit(f"error: no benchmarks for {ARCH}: there are {' and '.join(TARGETS)}")
TARGET = TARGETS[ARCH]
FOREIGN = ARCH != "x86_64"


def foreign_build():
    """dune's arguments for the programs of both sides."""
    programs = "bench/programs"
    return [
        f"--workspace=dune-workspace.{ARCH}",
        "_build/default/tools/soil",
        *(f"_build/{TARGET.images}/examples/{name}/main.exe" for name in EXAMPLES),
        f"@_build/{TARGET.images}/{programs}/soil/all",
        *(f"_build/{TARGET.images}/{programs}/unmodified/{name}.exe" for name in UNMODIFIED),
        *(f"_build/{TARGET.peers}/{programs}/linux/{name}.exe" for name in PEERS),
    ]
