"""Disks that boot by the loaders: disks of `soil image`, damaged ones, firmware of QEMU's
packages."""

import os
import shutil
import struct
import subprocess

from harness.context import SOIL, Skip, executable
from harness.runner import test

OVMF = "/usr/share/ovmf/OVMF.fd"
PROGRAM = "examples/hello/main.exe"
LOADER = "EFI/BOOT/BOOTX64.EFI"
IMAGE = "soil/image.elf"
SETTINGS = "soil/settings.txt"
MIB = 1 << 20
SECTOR = 512
MEMORY = 256 * MIB
# The EFI system partition of a disk of `soil image`.
VOLUME_AT = 128 * SECTOR


def made(context, *words, name="made.img", program=PROGRAM):
    """The path of a disk that `soil image` makes of the program."""
    path = context.path(name)
    context.run(SOIL, "image", executable(program, "q35"), "--force", "--output", path, *words)
    return path


def volume(path):
    """The boot partition in the words of mtools."""
    return f"{path}@@{VOLUME_AT}"


def read(path, name):
    """A file of the disk's boot partition."""
    words = ["mcopy", "-n", "-i", volume(path), f"::/{name}", "-"]
    return subprocess.run(words, check=True, capture_output=True).stdout


def write(path, name, data):
    """Replaces a file of the disk's boot partition; removes it with None."""
    if data is None:
        subprocess.run(["mdel", "-i", volume(path), f"::/{name}"], check=True)
    else:
        words = ["mcopy", "-o", "-i", volume(path), "-", f"::/{name}"]
        subprocess.run(words, check=True, input=data)


def boot(context, disk, *firmware, machine="q35", devices=("virtio-blk-pci",)):
    """Starts QEMU with the disk, which is the last of the devices."""
    devices = [*devices[:-1], devices[-1] + ",drive=disk", "isa-debug-exit,iobase=0xf4,iosize=4"]
    return context.child(
        ["qemu-system-x86_64", "-M", f"{machine},accel=tcg", "-m", str(MEMORY // MIB)]
        + ["-nodefaults", *firmware, "-drive", f"file={disk},format=raw,if=none,id=disk"]
        + ["-serial", "stdio", "-display", "none", "-no-reboot"]
        + [word for device in devices for word in ("-device", device)]
    )


def disk(context, files, change=lambda volume: None):
    """The path of a copy of hello's disk with other files; `change` damages its FAT volume."""
    path = context.path("disk.img")
    shutil.copyfile(made(context), path)
    for name, data in files.items():
        write(path, name, data)
    with open(path, "r+b") as file:
        file.seek(VOLUME_AT)
        fat = bytearray(file.read())
        change(fat)
        file.seek(VOLUME_AT)
        file.write(fat)
    return path


def uefi(context, path):
    if not os.path.exists(OVMF):
        raise Skip("no OVMF: install Debian's package ovmf")
    return boot(context, path, "-bios", OVMF)


def bios(context, path, machine="q35"):
    return boot(context, path, machine=machine)


def damaged(good, missing):
    """Changes to the files that a loader refuses, and words of its message."""
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
        ({IMAGE: None}, missing),
        ({IMAGE: good[:200_000]}, "the file is truncated"),
        ({IMAGE: large}, "no free memory"),
        ({IMAGE: far}, "from 0x32000000"),
        ({SETTINGS: b"A=b \n" * 20_000}, "longer than 65535"),
    ]


def flipped(data, at):
    """The bytes with one bit changed."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@test(limit=120)
def uefi_boots(context):
    """OVMF boots a disk of `soil image` on q35: the program prints, and ends the machine."""
    child = uefi(context, made(context))
    child.wait_line("Hello World!")
    assert child.finish() == 1, child.text


@test(limit=180)
def uefi_refuses(context):
    """The UEFI loader names a file that is missing, cut off, too large for the machine or too
    long."""
    cases = damaged(read(made(context), IMAGE), "NOT_FOUND")
    if not context.long:
        # The BIOS loader has the same checks of the ELF file, and starts in a tenth of the time.
        shared = ("the file is truncated", "from 0x32000000")
        cases = [case for case in cases if case[1] not in shared]
    for files, message in cases:
        child = uefi(context, disk(context, files))
        child.wait_line(message)
        child.stop()


@test(limit=240)
def secure_boot(context):
    """With Secure Boot OVMF starts the loader that `soil image --sign` signed, and no other; that
    one starts only the image and the settings of its digests. A change needs the key again."""
    folder, keys = "/usr/share/OVMF", "/usr/share/ovmf"
    code, variables = f"{folder}/OVMF_CODE_4M.secboot.fd", f"{folder}/OVMF_VARS_4M.snakeoil.fd"
    if not all(map(os.path.exists, (code, variables))) or not shutil.which("sbsign"):
        raise Skip("no firmware with test keys: install Debian's packages ovmf and sbsigntool")
    key, certificate = context.path("key.pem"), f"{keys}/PkKek-1-snakeoil.pem"
    context.run(
        "openssl", "rsa", "-in", f"{keys}/PkKek-1-snakeoil.key", "-out", key,
        "-passin", "pass:snakeoil",
    )  # fmt: skip
    plain = read(made(context), LOADER)
    signed = made(context, "--sign", key, certificate, name="signed.img")
    loader, elf = read(signed, LOADER), read(signed, IMAGE)
    change = [SOIL, "image", "--edit", signed, "--env", "A=1"]
    refusal = context.run(*change, check=False)
    assert refusal.returncode == 1 and "--sign" in refusal.stderr, refusal.stderr
    edited = context.path("edited.img")
    shutil.copyfile(signed, edited)
    change[3] = edited
    context.run(*change, "--sign", key, certificate)
    refused = "not what this loader was signed for"
    # Each with one change to what boots: the signature, a byte of the loader's code, of the image,
    # of the settings.
    # Other tests boot a disk that was only made.
    for path, files, message in (
        (edited, {}, "Hello World!"),
        *([(signed, {LOADER: plain}, "No bootable option")] if context.long else []),
        (signed, {LOADER: flipped(loader, 0x2000)}, "No bootable option"),
        (signed, {IMAGE: flipped(elf, len(elf) - 1)}, f"image.elf: {refused}"),
        (signed, {SETTINGS: b"A=2\n"}, f"settings.txt: {refused}"),
    ):
        changed, store = context.path("changed.img"), context.path("variables.fd")
        shutil.copyfile(path, changed)
        shutil.copyfile(variables, store)
        for name, data in files.items():
            write(changed, name, data)
        child = boot(
            context,
            changed,
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
    """SeaBIOS boots a disk of `soil image` on q35 and on i440fx: the program prints, and ends the
    machine."""
    for machine in ("q35", "pc"):
        child = bios(context, made(context), machine)
        child.wait_line("Hello World!")
        assert child.finish() == 1, child.text


@test(limit=120)
def bios_refuses(context):
    """The BIOS loader names a file that is missing, cut off, too large for the machine or too long,
    and a FAT whose chains end early or lead nowhere."""
    good = read(made(context), IMAGE)
    cases = [(files, lambda fat: None, message) for files, message in damaged(good, "not found")]

    def set_table(value):
        """Each entry of the first table but the first two and the two folders'."""

        def change(fat):
            reserved, tables, _, _, _, length = struct.unpack_from("<HBHHBH", fat, 14)
            assert tables == 2
            start = reserved * SECTOR + 12
            fat[start : (reserved + length) * SECTOR] = value * (length * SECTOR - 12)

        return change

    cases += [({}, set_table(each), "the FAT is damaged") for each in (b"\xff", b"\0")]
    cases.append(({}, lambda fat: fat.__setitem__(510, 0), "isn't FAT12 or FAT16"))
    for files, change, message in cases:
        child = bios(context, disk(context, files, change))
        child.wait_line(message)
        child.stop()


@test()
def a_processor_of_32_bits(context):
    """The BIOS loader says what a processor lacks."""
    for model in ("qemu32", "pentium"):
        child = boot(context, made(context), "-cpu", model)
        child.wait_line("a processor without 64-bit mode")
        child.stop()


@test(limit=120)
def settings_become_arguments(context):
    """The lines of the settings are the program's arguments, by both firmwares."""
    path = made(context, program="examples/website/main.exe")
    write(path, SETTINGS, b"# three arguments, where one is allowed\n--\na b\nc\n")
    for start in (bios, uefi):
        start(context, path).wait_line("usage: website [PORT]")


BOCHS = """\
megs: 256
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
cpu: model={model}
ata0-master: type=disk, path={disk}, mode=flat, cylinders={cylinders}, heads=16, spt=32
boot: disk
com1: enabled=1, mode=file, dev={serial}
log: {log}
panic: action=fatal
error: action=report
# No viewer is waited for.
display_library: rfb, options="timeout=0"
"""


@test(limit=120)
def bochs_boots(context):
    """Bochs, whose machine and BIOS aren't QEMU's, boots a disk of `soil image` with processors of
    2003 and of 2020: the program prints, and powers the machine off."""
    if not (shutil.which("bochs") and os.path.exists("/usr/share/bochs/BIOS-bochs-latest")):
        raise Skip(
            "no second machine: install Debian's packages bochs, bochs-term, bochsbios, vgabios"
        )
    path = made(context)
    cylinders = os.path.getsize(path) // (16 * 32 * SECTOR)
    for model in ("athlon64_clawhammer", "tigerlake"):
        files = {name: context.path(f"{model}.{name}") for name in ("serial", "log", "rc")}
        with open(files["rc"], "w") as file:
            file.write(BOCHS.format(model=model, disk=path, cylinders=cylinders, **files))
        # Debian's has a debugger: "c" lets the machine run.
        done = context.run("bochs", "-f", files["rc"], input="c\nq\n", check=False)
        with open(files["serial"], "rb") as file:
            text = file.read()
        assert text == b"Hello World!\nsoil: status 0\n", (text, done.stderr)
        assert "soft power off" in done.stderr, done.stderr
