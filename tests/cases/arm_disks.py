"""Disks for arm64, booted by UEFI on QEMU's `virt`: what the loader hands over, `soil image`."""

import os
import shutil
import struct
import subprocess
import time

from harness.context import ROOT, SOIL, Skip, executable
from harness.runner import test

from cases.loaders import SETTINGS, read, write

MIB = 1 << 20
FIRMWARE = "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"
LOADER = os.path.join(ROOT, "_build", "default", "loader", "soil-uefi-aarch64.efi")
HELLO = os.path.join(ROOT, "_build", "soil-aarch64", "examples", "hello", "main.exe")
UART = 0x0900_0000
GIB = 1 << 30

# A machine's image that writes its exception level, its address and that of its device tree, and
# the tree to a PL011, in hexadecimal. It runs without memory of its own: the MMU and the data cache
# are off, so what the loader left in a cache is missing here.
IMAGE = f"""
    .section .note.Soil, "a", @note
    .balign 4
    .long 5, 8, 1
    .asciz "Soil"
    .balign 4
    .quad start
    .text
    .globl start
start:
    mov x19, x0
    ldr x20, ={UART}
    mrs x0, currentel
    bl number
    adr x0, start
    bl number
    mov x0, x19
    bl number
    mrs x0, currentel
    cmp x0, #8
    b.eq 1f
    mrs x0, sctlr_el1
    b 2f
1:  mrs x0, sctlr_el2
2:  bl number
    ldr w21, [x19, #4]
    rev w21, w21
3:  ldr x0, [x19], #8
    rev x0, x0
    bl number
    subs x21, x21, #8
    b.hi 3b
    mov w0, #'.'
    str w0, [x20]
    mov w0, #'\\n'
    str w0, [x20]
    b .
number:                                 // x0, sixteen digits and the end of a line
    mov x2, #16
4:  ror x0, x0, #60
    and w1, w0, #15
    add w1, w1, #'0'
    cmp w1, #'9'
    b.ls 5f
    add w1, w1, #39
5:  str w1, [x20]
    subs x2, x2, #1
    b.ne 4b
    mov w1, #'\\n'
    str w1, [x20]
    ret
    .ltorg
    .bss
    .space 8192
"""
LAYOUT = """
ENTRY(start)
PHDRS { read PT_LOAD FILEHDR PHDRS; note PT_NOTE; }
SECTIONS
{
    . = 0x200000 + SIZEOF_HEADERS;
    .note : { *(.note.Soil) } :read :note
    .text : { *(.text) } :read
    .bss : { *(.bss) } :read
    /DISCARD/ : { *(.note.gnu*) }
}
"""


def needed():
    """Skips the test where a program, the firmware or the loader is missing."""
    for program, package in (
        ("qemu-system-aarch64", "qemu-system-arm"),
        ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
        ("mformat", "mtools"),
    ):
        if not shutil.which(program):
            raise Skip(f"no {program}: install Debian's package {package}")
    if not os.path.exists(FIRMWARE):
        raise Skip("no UEFI for arm64: install Debian's package qemu-efi-aarch64")
    if not (os.path.exists(LOADER) and os.path.getsize(LOADER)):
        raise Skip("no loader for arm64: loader/cross.sh aarch64 prints what its build lacks")


def image(context):
    """The path of the ELF file of IMAGE."""
    source, layout, output = (context.path(f"tree.{kind}") for kind in ("S", "ld", "elf"))
    for path, text in ((source, IMAGE), (layout, LAYOUT)):
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    context.run("aarch64-linux-gnu-gcc", "-nostdlib", "-static", "-Wl,--build-id=none",
                "-Wl,--no-warn-rwx-segments", "-T", layout, "-o", output, source)  # fmt: skip
    return output


def volume(context, elf, settings):
    """The path of a volume with the loader, without a partition table."""
    path = context.path("volume.img")
    with open(path, "wb") as file:
        file.truncate(16 * MIB)
    words = ["-i", path]
    context.run("mformat", *words, "::")
    context.run("mmd", *words, "::/EFI", "::/EFI/BOOT", "::/soil")
    context.run("mcopy", *words, LOADER, "::/EFI/BOOT/BOOTAA64.EFI")
    context.run("mcopy", *words, elf, "::/soil/image.elf")
    if settings is not None:
        subprocess.run(["mcopy", *words, "-", f"::/{SETTINGS}"], check=True, input=settings)
    return path


def boot(context, disk, machine="virt", *words):
    """Starts QEMU with the disk."""
    return context.child(
        ["qemu-system-aarch64", "-M", f"{machine},accel=tcg", "-m", "512", "-bios", FIRMWARE]
        + ["-nodefaults", "-drive", f"file={disk},format=raw,if=none,id=disk", "-display", "none"]
        + ["-device", "virtio-blk-pci,drive=disk", "-serial", "stdio", "-no-reboot", *words]
    )


def properties(tree):
    """The properties of a device tree by their paths."""
    magic, total, at, strings, _, version, _, _, _, _ = struct.unpack_from(">10I", tree)
    assert (magic, version) == (0xD00DFEED, 17) and total <= len(tree), (magic, version, total)
    found, path = {}, []
    while True:
        (token,) = struct.unpack_from(">I", tree, at)
        at += 4
        if token == 1:
            name = tree[at : tree.index(b"\0", at)]
            path.append(name.decode())
            at += (len(name) + 4) & ~3
        elif token == 2:
            path.pop()
        elif token == 3:
            length, name = struct.unpack_from(">2I", tree, at)
            name = tree[strings + name : tree.index(b"\0", strings + name)].decode()
            found["/".join([*path, name])] = tree[at + 8 : at + 8 + length]
            at += 8 + ((length + 3) & ~3)
        else:
            assert token == 9 and not path, (token, path)
            return found


def handed_over(context, machine, *words):
    """What IMAGE gets on this machine: exception level, its own address, the tree's, and the tree's
    properties."""
    disk = volume(context, image(context), b"# comment\nA=b\n--\nc d\n")
    child = boot(context, disk, machine, *words)
    child.wait_line(".")
    numbers = []
    for _, line in child.lines:
        if len(line) == 16:
            numbers.append(int(line, 16))
    child.stop()
    level, start, place, control, *tree = numbers
    assert control & 5 == 0, hex(control)
    return level >> 2, start, place, properties(struct.pack(f">{len(tree)}Q", *tree))


def pairs(value):
    numbers = struct.unpack(f">{len(value) // 8}Q", value)
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def checked(context, machine, *words):
    """Boots IMAGE and checks what both kinds of trees have; returns the level and the tree."""
    before = int(time.time())
    level, start, place, tree = handed_over(context, machine, *words)
    assert start & 0x1FFFFF < 0x1000 and start >= GIB, hex(start)
    assert place % 8 == 0 and place // GIB == start // GIB and place < start, (start, place)
    assert tree["/chosen/bootargs"].endswith(b"A=b -- c d\0"), tree["/chosen/bootargs"]
    (seconds,) = struct.unpack(">Q", tree["/chosen/soil,time"])
    # QEMU's clock is the host's.
    assert before <= seconds <= time.time(), (before, seconds)
    memory = pairs(tree["/memory@40000000/reg"])
    assert sum(length for _, length in memory) > 400 * MIB, memory
    assert any(at <= place < start < at + length for at, length in memory), memory
    return level, tree


@test(limit=240)
def makes_a_tree_of_acpi(context):
    """Where UEFI for arm64 has ACPI only, the image gets a device tree made of it: PSCI, the
    interrupt controller, timers, the serial port, PCI and virtio-mmio; at EL1 and at EL2, with
    either version of the controller."""
    needed()
    machines = [("virt,gic-version=3", 1, b"hvc", b"arm,gic-v3")]
    if context.long:
        machines += [
            ("virt,gic-version=2", 1, b"hvc", b"arm,cortex-a15-gic"),
            ("virt,gic-version=3,virtualization=on", 2, b"smc", b"arm,gic-v3"),
        ]
    words = ("-cpu", "max", "-device", "ramfb", "-device", "virtio-rng-pci")
    for machine, level, method, controller in machines:
        found, tree = checked(context, machine, *words)
        assert found == level, found
        assert len(tree["/chosen/rng-seed"]) == 32, tree
        assert tree["/psci/method"] == method + b"\0", tree
        assert tree["/intc@8000000/compatible"] == controller + b"\0", tree
        assert tree["/timer/interrupts"][24:36] == struct.pack(">3I", 1, 11, 4), tree
        assert tree["/chosen/stdout-path"] == b"/serial@9000000\0", tree
        assert tree["/serial@9000000/compatible"].startswith(b"arm,pl011\0"), tree
        assert pairs(tree["/pcie@4010000000/reg"]) == [(0x40_1000_0000, 256 * MIB)], tree
        assert len(tree["/pcie@4010000000/ranges"]) == 3 * 28, tree
        assert pairs(tree["/virtio_mmio@a003e00/reg"]) == [(0xA003E00, 0x200)], tree
        (root,) = struct.unpack(">Q", tree["/chosen/soil,acpi-root"])
        assert root > GIB, root
        assert b"SOIL_FRAMEBUFFER=0x" in tree["/chosen/bootargs"], tree["/chosen/bootargs"]


@test(limit=240)
def passes_the_firmwares_tree_on(context):
    """Where UEFI for arm64 has a device tree, the image gets that, with the command line, the time
    and the usable memory; at EL2 and at EL1."""
    needed()
    machines = [("virt,acpi=off,virtualization=on", 2)]
    if context.long:
        machines.append(("virt,acpi=off", 1))
    for machine, level in machines:
        found, tree = checked(context, machine, "-cpu", "cortex-a72")
        assert found == level, found
        assert tree["/chosen/stdout-path"].startswith(b"/pl011@9000000"), tree
        assert "/chosen/soil,acpi-root" not in tree
        assert len(tree["/chosen/rng-seed"]) == 32, tree
        assert tree["/pl011@9000000/compatible"].startswith(b"arm,pl011\0"), tree
        assert "/fw-cfg@9020000/compatible" in tree


@test(limit=240)
def refuses_on_arm(context):
    """The UEFI loader for arm64 names an image for x86-64, and a missing one."""
    needed()
    x86 = context.path("x86.elf")
    context.run(SOIL, "strip", executable("examples/hello/main.exe", "q35"), x86)
    disk = volume(context, x86, None)
    child = boot(context, disk, "virt", "-cpu", "cortex-a53")
    child.wait_line("an executable for x86_64, where one for aarch64 is loaded")
    child.stop()
    if context.long:
        context.run("mdel", "-i", disk, "::/soil/image.elf")
        child = boot(context, disk, "virt", "-cpu", "cortex-a53")
        child.wait_line("NOT_FOUND")
        child.stop()


def hello():
    """The path of hello for arm64."""
    if not os.path.exists(HELLO):
        raise Skip("no programs for arm64: build them in the context soil-aarch64")
    return HELLO


@test(limit=240)
def hello_boots_by_uefi_on_arm(context):
    """A disk of `soil image` with hello for arm64 boots by UEFI. Its program can't be replaced by
    one for x86-64, nor that of a disk for x86-64 by it."""
    needed()
    hello()
    disk, other = context.path("arm.img"), context.path("x86.img")
    x86 = executable("examples/hello/main.exe", "q35")
    context.run(SOIL, "image", HELLO, "--output", disk, "--env", "A=1")
    context.run(SOIL, "image", x86, "--output", other)
    assert read(disk, "EFI/BOOT/BOOTAA64.EFI").startswith(b"MZ")
    context.run(SOIL, "image", "--edit", disk, "--env", "A=2")
    assert b"\nA=2\n" in read(disk, SETTINGS)
    context.run(SOIL, "image", HELLO, "--output", disk, "--replace")
    for program, output in ((x86, disk), (HELLO, other)):
        words = [SOIL, "image", program, "--output", output, "--replace"]
        refused = context.run(*words, check=False)
        assert refused.returncode == 1, refused.stderr
        for name in ("x86_64", "aarch64", "make a new disk"):
            assert name in refused.stderr, refused.stderr
    machines = [("virt,gic-version=3", "max")]
    if context.long:
        machines += [("virt", "cortex-a53"), ("virt,acpi=off", "cortex-a72")]
        machines += [("virt,virtualization=on,gic-version=3", "neoverse-n1")]
    for machine, processor in machines:
        child = boot(context, disk, machine, "-cpu", processor)
        child.wait_line("Hello World!")
        child.wait_line("soil: status 0")
        child.finish()


@test(limit=300, long=True)
def secure_boot_on_arm(context):
    """With Secure Boot UEFI for arm64 starts the loader that `soil image --sign` signed, and no
    other; that one starts only the settings of its digest."""
    needed()
    keys = "/usr/share/qemu-efi-aarch64/PkKek-1-snakeoil"
    variables = "/usr/share/AAVMF/AAVMF_VARS.snakeoil.fd"
    if not all(map(os.path.exists, (f"{keys}.pem", variables))) or not shutil.which("sbsign"):
        raise Skip("no test keys: install Debian's packages qemu-efi-aarch64 and sbsigntool")
    key, disk = (context.path(name) for name in ("key.pem", "signed.img"))
    context.run("openssl", "rsa", "-in", f"{keys}.key", "-out", key, "-passin", "pass:snakeoil")
    words = ["image", hello(), "--output", disk, "--sign", key, f"{keys}.pem"]
    context.run(SOIL, *words)
    with open(LOADER, "rb") as file:
        plain = file.read()
    for name, data, message in (
        (None, None, "Hello World!"),
        (SETTINGS, b"A=1\n", "not what this loader was signed for"),
        ("EFI/BOOT/BOOTAA64.EFI", plain, "No bootable option"),
    ):
        if name:
            write(disk, name, data)
        words = ["--firmware", "uefi", "--secure-boot", variables, "--accel", "tcg"]
        child = context.child([SOIL, "run", disk, *words])
        child.wait_line(message)
        child.stop()
