"""Disks that boot by the loaders, without `soil image`: firmware of QEMU's packages, disks of
mtools."""

import hashlib
import os
import struct
import subprocess

from harness.context import ROOT, Skip, executable
from harness.runner import test

BUILT = os.path.join(ROOT, "_build", "default", "loader")
OVMF = "/usr/share/ovmf/OVMF.fd"
PROGRAM = "examples/hello/main.exe"
MIB = 1 << 20


def image(context):
    """The program's image, stripped, as bytes."""
    path = context.path("image.elf")
    subprocess.run(["strip", "-o", path, executable(PROGRAM, "q35")], check=True)
    with open(path, "rb") as file:
        return file.read()


def uefi_disk(context, files, loader=None):
    """A FAT volume with the loader and `files`, by name, and its path."""
    path = context.path("disk.img")
    with open(path, "wb") as file:
        file.truncate(4 * MIB)
    environment = {**os.environ, "MTOOLS_SKIP_CHECK": "1"}

    def run(*words, **options):
        subprocess.run(words, check=True, env=environment, **options)

    run("mformat", "-i", path, "-T", str(4 * MIB // 512), "::")
    run("mmd", "-i", path, "::/EFI", "::/EFI/BOOT", "::/soil")
    if loader is None:
        with open(os.path.join(BUILT, "soil-uefi.efi"), "rb") as file:
            loader = file.read()
    for name, data in {"EFI/BOOT/BOOTX64.EFI": loader, **files}.items():
        run("mcopy", "-i", path, "-", f"::/{name}", input=data)
    return path


def boot(context, disk, *firmware, machine="q35"):
    """Starts QEMU with the disk."""
    return context.child(
        ["qemu-system-x86_64", "-M", f"{machine},accel=tcg", "-m", "256", "-nodefaults"]
        + [*firmware, "-drive", f"file={disk},format=raw,if=none,id=disk"]
        + ["-device", "virtio-blk-pci,drive=disk", "-serial", "stdio", "-display", "none"]
        + ["-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    )


def uefi(context, files, loader=None):
    if not os.path.exists(OVMF):
        raise Skip("no OVMF: install Debian's package ovmf")
    return boot(context, uefi_disk(context, files, loader), "-bios", OVMF)


@test(limit=120)
def uefi_boots(context):
    """OVMF boots a disk's image on q35: it prints, and ends the machine."""
    child = uefi(context, {"soil/image.elf": image(context), "soil/settings.txt": b"# none\n"})
    child.wait_line("Hello World!")
    assert child.finish() == 1, child.text


@test(limit=180)
def uefi_refuses(context):
    """The UEFI loader names a file that is cut off, that claims memory which isn't there, that is
    too long or that has another digest than the loader."""
    good = image(context)
    # The program header of the data: its address and length in memory.
    header = 64 + 56 * 3
    cases = [
        ({}, "image.elf: NOT_FOUND"),
        ({"soil/image.elf": good[:200_000]}, "the file is truncated"),
        (
            {
                "soil/image.elf": good[: header + 40]
                + struct.pack("<Q", 512 * MIB)
                + good[header + 48 :]
            },
            "the firmware has no free memory",
        ),
        ({"soil/image.elf": good, "soil/settings.txt": b"A=b \n" * 20_000}, "longer than 65535"),
    ]
    for files, message in cases:
        child = uefi(context, files)
        child.wait_line(message)
        child.stop()
    with open(os.path.join(BUILT, "soil-uefi.efi"), "rb") as file:
        loader = file.read()
    assert loader.count(b"SOILDIGS") == 1
    at = loader.index(b"SOILDIGS") + 8
    settings = b"A=1\n"
    digests = hashlib.sha256(good).digest() + hashlib.sha256(settings).digest()
    signed = loader[:at] + digests + loader[at + 64 :]
    other = good[:-1] + bytes([good[-1] ^ 1])
    for elf, text, message in [
        (good, settings, "Hello World!"),
        (other, settings, "image.elf: not what this loader was signed for"),
        (good, b"A=2\n", "settings.txt: not what this loader was signed for"),
    ]:
        child = uefi(context, {"soil/image.elf": elf, "soil/settings.txt": text}, signed)
        child.wait_line(message)
        child.stop()
