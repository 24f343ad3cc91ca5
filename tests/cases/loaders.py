"""Disks that boot by the loaders: firmware of QEMU's packages, disks made by sfdisk and mtools."""

import hashlib
import os
import shutil
import struct
import subprocess

from harness.context import ROOT, Skip, executable
from harness.runner import test

BUILT = os.path.join(ROOT, "_build", "default", "loader")
OVMF = "/usr/share/ovmf/OVMF.fd"
PROGRAM = "examples/hello/main.exe"
MIB = 1 << 20
SECTOR = 512
MEMORY = 256 * MIB


def image(context, program=PROGRAM):
    """The program's image, stripped, as bytes."""
    path = context.path("image.elf")
    subprocess.run(["strip", "-o", path, executable(program, "q35")], check=True)
    with open(path, "rb") as file:
        return file.read()


def built(name):
    with open(os.path.join(BUILT, name), "rb") as file:
        return file.read()


def volume(context, files):
    """The path of a FAT volume with `files`, by name."""
    path = context.path("volume.img")
    with open(path, "wb") as file:
        file.truncate(4 * MIB)
    environment = {**os.environ, "MTOOLS_SKIP_CHECK": "1"}

    def run(*words, **options):
        subprocess.run(words, check=True, env=environment, **options)

    run("mformat", "-i", path, "-T", str(4 * MIB // 512), "::")
    run("mmd", "-i", path, "::/EFI", "::/EFI/BOOT", "::/soil")
    for name, data in files.items():
        run("mcopy", "-i", path, "-", f"::/{name}", input=data)
    return path


def boot(context, disk, *firmware, machine="q35"):
    """Starts QEMU with the disk."""
    return context.child(
        ["qemu-system-x86_64", "-M", f"{machine},accel=tcg", "-m", str(MEMORY // MIB)]
        + ["-nodefaults", *firmware, "-drive", f"file={disk},format=raw,if=none,id=disk"]
        + ["-device", "virtio-blk-pci,drive=disk", "-serial", "stdio", "-display", "none"]
        + ["-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    )


def disk(context, files, loader=None, change=lambda volume: None):
    """The path of a GPT disk that boots by both firmwares; `change` damages its FAT volume."""
    loader = loader or built("soil-uefi.efi")
    with open(volume(context, {"EFI/BOOT/BOOTX64.EFI": loader, **files}), "rb") as file:
        fat = bytearray(file.read())
    change(fat)
    first, second = built("soil-bios-mbr.bin"), built("soil-bios.bin")
    assert len(first) == 440 and len(second) % SECTOR == 0
    second_at, fat_at = 34, 256
    path = context.path("disk.img")
    with open(path, "wb") as file:
        file.truncate(fat_at * SECTOR + len(fat) + MIB)
    partitions = f"""label: gpt
first-lba: {second_at}
start={second_at}, size={len(second) // SECTOR}, type=21686148-6449-6E6F-744E-656564454649
start={fat_at}, size={len(fat) // SECTOR}, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
"""
    subprocess.run(
        ["sfdisk", "-q", path], input=partitions, text=True, check=True, capture_output=True
    )
    place = struct.pack("<QH", second_at, len(second) // SECTOR)
    with open(path, "r+b") as file:
        # The disk's signature and the protective partition stay.
        file.write(first[:428] + place + first[438:])
        file.seek(second_at * SECTOR)
        file.write(second)
        file.seek(fat_at * SECTOR)
        file.write(fat)
    return path


def uefi(context, files, loader=None):
    if not os.path.exists(OVMF):
        raise Skip("no OVMF: install Debian's package ovmf")
    return boot(context, disk(context, files, loader), "-bios", OVMF)


def bios(context, files, machine="q35", change=lambda volume: None):
    return boot(context, disk(context, files, change=change), machine=machine)


def damaged(good, missing):
    """Files that a loader refuses, and words of its message."""
    header = 64 + 56 * 3

    def data(field, value):
        """The image with another value in the program header of its data."""
        at = header + field
        return good[:at] + struct.pack("<Q", value) + good[at + 8 :]

    # Its length in memory: to the last quarter MiB, where the BIOS loader has the file. Its
    # address: behind the memory.
    (address,) = struct.unpack_from("<Q", good, header + 24)
    large, far = data(40, MEMORY - MIB // 4 - address), data(24, 800 * MIB)
    return [
        ({}, missing),
        ({"soil/image.elf": good[:200_000]}, "the file is truncated"),
        ({"soil/image.elf": large}, "no free memory"),
        ({"soil/image.elf": far}, "from 0x32000000"),
        ({"soil/image.elf": good, "soil/settings.txt": b"A=b \n" * 20_000}, "longer than 65535"),
    ]


def with_digests(elf, settings):
    """The UEFI loader for this image with these settings."""
    loader = built("soil-uefi.efi")
    assert loader.count(b"SOILDIGS") == 1
    at = loader.index(b"SOILDIGS") + 8
    digests = hashlib.sha256(elf).digest() + hashlib.sha256(settings).digest()
    return loader[:at] + digests + loader[at + 64 :]


def flipped(data, at):
    """The bytes with one bit changed."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@test(limit=120)
def uefi_boots(context):
    """OVMF boots a disk's image on q35: it prints, and ends the machine."""
    child = uefi(context, {"soil/image.elf": image(context), "soil/settings.txt": b"# none\n"})
    child.wait_line("Hello World!")
    assert child.finish() == 1, child.text


@test(limit=180)
def uefi_refuses(context):
    """The UEFI loader names a file that is missing, cut off, too large for the machine or too
    long."""
    for files, message in damaged(image(context), "NOT_FOUND"):
        child = uefi(context, files)
        child.wait_line(message)
        child.stop()


@test(limit=180)
def secure_boot(context):
    """With Secure Boot OVMF starts the loader that its key signed, and no other; that one starts
    only the image and the settings of its digests."""
    folder, keys = "/usr/share/OVMF", "/usr/share/ovmf"
    code, variables = f"{folder}/OVMF_CODE_4M.secboot.fd", f"{folder}/OVMF_VARS_4M.snakeoil.fd"
    if not all(map(os.path.exists, (code, variables))) or not shutil.which("sbsign"):
        raise Skip("no firmware with test keys: install Debian's packages ovmf and sbsigntool")
    plain, signed, key = (context.path(name) for name in ("plain.efi", "signed.efi", "key.pem"))
    elf, settings = image(context), b"A=1\n"
    with open(plain, "wb") as file:
        file.write(with_digests(elf, settings))
    subprocess.run(
        ["openssl", "rsa", "-in", f"{keys}/PkKek-1-snakeoil.key", "-out", key]
        + ["-passin", "pass:snakeoil"],
        check=True,
    )
    subprocess.run(
        ["sbsign", "--key", key, "--cert", f"{keys}/PkKek-1-snakeoil.pem"]
        + ["--output", signed, plain],
        check=True,
    )
    loaders = {}
    for path in (plain, signed):
        with open(path, "rb") as file:
            loaders[path] = file.read()
    good = loaders[signed]
    refused = "not what this loader was signed for"
    # Each with one change to what boots: the signature, a byte of the loader's code, of the image,
    # of the settings.
    for loader, program, text, message in (
        (good, elf, settings, "Hello World!"),
        (loaders[plain], elf, settings, "No bootable option"),
        (flipped(good, 0x2000), elf, settings, "No bootable option"),
        (good, flipped(elf, len(elf) - 1), settings, f"image.elf: {refused}"),
        (good, elf, b"A=2\n", f"settings.txt: {refused}"),
    ):
        files = {"soil/image.elf": program, "soil/settings.txt": text}
        store = context.path("variables.fd")
        shutil.copyfile(variables, store)
        child = boot(
            context,
            disk(context, files, loader),
            "-global",
            "driver=cfi.pflash01,property=secure,value=on",
            "-drive",
            f"if=pflash,format=raw,unit=0,readonly=on,file={code}",
            "-drive",
            f"if=pflash,format=raw,unit=1,file={store}",
            machine="q35,smm=on",
        )
        child.wait_line(message)
        child.stop()


@test(limit=120)
def bios_boots(context):
    """SeaBIOS boots a disk's image on q35 and on i440fx: it prints, and ends the machine."""
    files = {"soil/image.elf": image(context), "soil/settings.txt": b"A=1\n"}
    for machine in ("q35", "pc"):
        child = bios(context, files, machine)
        child.wait_line("Hello World!")
        assert child.finish() == 1, child.text


@test(limit=120)
def bios_refuses(context):
    """The BIOS loader names a file that is missing, cut off, too large for the machine or too long,
    and a FAT whose chains end early or lead nowhere."""
    good = image(context)
    cases = [(files, lambda fat: None, message) for files, message in damaged(good, "not found")]

    def set_table(value):
        """Each entry of the first table but the first two and the two folders'."""

        def change(fat):
            reserved, tables, _, _, _, length = struct.unpack_from("<HBHHBH", fat, 14)
            assert tables == 2
            start = reserved * SECTOR + 12
            fat[start : (reserved + length) * SECTOR] = value * (length * SECTOR - 12)

        return change

    files = {"soil/image.elf": good}
    cases += [(files, set_table(each), "the FAT is damaged") for each in (b"\xff", b"\0")]
    cases.append((files, lambda fat: fat.__setitem__(510, 0), "isn't FAT12 or FAT16"))
    for contents, change, message in cases:
        child = bios(context, contents, change=change)
        child.wait_line(message)
        child.stop()


@test(limit=120)
def settings_become_arguments(context):
    """The lines of the settings are the program's arguments, by both firmwares."""
    files = {
        "soil/image.elf": image(context, "examples/website/main.exe"),
        "soil/settings.txt": b"# three arguments, where one is allowed\n--\na b\nc\n",
    }
    for start in (bios, uefi):
        start(context, files).wait_line("usage: website [PORT]")
