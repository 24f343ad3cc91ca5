"""Soil and a Linux guest write disks in turn, many in one boot: names, sizes and contents agree
with a reference, the host's own files."""

import os
import struct
import sys

from harness.context import REFERENCE, Skip, executable, outcome
from harness.runner import test

SOIL = "tests/programs/storage/changes_soil.exe"
LINUX = "tests/programs/peer/changes_linux.exe"
MIB = 1 << 20


def cut(path, size):
    """A sparse file of this size."""
    with open(path, "wb") as file:
        file.truncate(size)


def clusters(path):
    """The number of clusters of a FAT disk (Microsoft's FAT specification, 3.5)."""
    with open(path, "rb") as file:
        boot = file.read(64)
    sector, per_cluster, reserved, copies, roots, small, _, table = struct.unpack_from(
        "<HBHBHHBH", boot, 11
    )
    total = small or struct.unpack_from("<I", boot, 32)[0]
    table = table or struct.unpack_from("<I", boot, 36)[0]
    data = total - reserved - copies * table - (roots * 32 + sector - 1) // sector
    return data // per_cluster


def shrink(path, sectors, lost):
    """Cuts sectors off the end of a new FAT disk, `lost` clusters of them."""
    with open(path, "r+b") as file:
        boot = file.read(64)
        (sector,) = struct.unpack_from("<H", boot, 11)
        small, large = struct.unpack_from("<H", boot, 19)[0], struct.unpack_from("<I", boot, 32)[0]
        is_fat32 = boot[22:24] == b"\0\0"
        for start in (0, 6 * sector) if is_fat32 else (0,):
            file.seek(start + (19 if small else 32))
            file.write(
                struct.pack("<H", small - sectors) if small else struct.pack("<I", large - sectors)
            )
            if is_fat32:
                file.seek(start + sector + 488)
                (free,) = struct.unpack("<I", file.read(4))
                file.seek(start + sector + 488)
                file.write(struct.pack("<I", free - lost))
        file.truncate(((small or large) - sectors) * sector)


def fat(bits, per_cluster, count, sector=512):
    """A function that makes FAT disks with exactly `count` clusters of `per_cluster` sectors."""

    # mkfs.fat keeps a distance from the minimum counts of FAT16 and FAT32: the disk is cut
    # afterwards.
    spare = 4 if count in (4085, 65525) else 0
    reserved = 32

    def make(context, path):
        table = ((count + spare + 2) * bits + 8 * sector - 1) // (8 * sector)
        roots = 0 if bits == 32 else (512 * 32 + sector - 1) // sector
        total = reserved + 2 * table + roots + (count + spare) * per_cluster
        # mkfs.fat counts in KiB.
        total += total * sector % 1024 // sector
        cut(path, total * sector)
        options = ["-a", "-F", bits, "-S", sector, "-s", per_cluster, "-R", reserved]
        context.run("mkfs.fat", *options, path)
        extra = clusters(path) - count
        shrink(path, extra * per_cluster, extra)
        assert clusters(path) == count, f"{clusters(path)} clusters, not {count}"

    return "vfat", make


def ext4(block, *options, size=64 * MIB):
    """A function that makes ext4 disks with blocks of `block` bytes."""

    def make(context, path):
        cut(path, size)
        context.run("mkfs.ext4", "-q", "-b", block, *options, path)

    return "ext4", make


def check(context, kind, path, what):
    """The disk's own checker finds nothing."""
    program = ("fsck.fat", "-n") if kind == "vfat" else ("e2fsck", "-fn")
    done = context.run(*program, path, check=False)
    text = done.stdout + done.stderr
    assert done.returncode == 0 and "skipping journal recovery" not in text, f"{what}: {text}"


FEW = {
    "fat12": fat(12, 16, 4084),
    "fat16": fat(16, 16, 4085),
    "fat32": fat(32, 1, 65525),
    "ext4_2k": ext4(2048),
    "ext4_4k": ext4(4096),
}
MANY = FEW | {
    "fat12b": fat(12, 64, 4084),
    "fat16b": fat(16, 1, 65524),
    "fat16c": fat(16, 128, 5000),
    "fat32b": fat(32, 1, 65525 + 40000),
    "fat32c": fat(32, 8, 65525),
    "fat32d": fat(32, 1, 65525, sector=4096),
    "ext4_bare": ext4(4096, "-O", "^64bit,^metadata_csum,^dir_index,^flex_bg"),
    "ext4_inode": ext4(4096, "-I", "128"),
    "ext4_blocks": ext4(4096, "-O", "^extent,^64bit"),
    "ext4_none": ext4(2048, "-O", "^has_journal"),
    "ext4_odd": ext4(4096, size=301 * MIB + 4096 * 5),
}


def split(output):
    """The listings of `changes.ml`, one for each step "sums": path (from /mnt or /) to digest and
    size."""
    steps = []
    for line in output.replace("\r", "").splitlines():
        words = line.split(" ", 1 if line.startswith("directory ") else 2)
        if line == "sums":
            steps.append({})
        elif steps and "/" in words[-1] and (words[0] == "directory" or len(words[0]) == 32):
            steps[-1][words[-1].removeprefix("/mnt")] = tuple(words[:-1])
    return steps


def below(listing, disk):
    """The part of a listing on `disk`."""
    return {
        path.removeprefix(f"/{disk}/"): what
        for path, what in listing.items()
        if path.startswith(f"/{disk}/")
    }


def same(expected, found, what):
    different = [
        f"{path}: expected {expected.get(path)}, found {found.get(path)}"
        for path in sorted({*expected, *found})
        if expected.get(path) != found.get(path)
    ]
    assert not different, f"{what}: {len(different)} of {len(expected)} differ\n" + "\n".join(
        different[:10]
    )


def soil(context, form, disks, steps):
    """Runs the steps on all `disks` (a path for each name) in one run of Soil's program; returns
    its listings."""
    options = []
    for name, (kind, path) in disks.items():
        options += [
            "--disk",
            f"{name}={path}",
            "--mount",
            f"/{name}={'fat' if kind == 'vfat' else kind}:{name}",
        ]
    status, output = outcome(
        context.soil(SOIL, form, steps, *(f"/{name}" for name in disks), options=options), context
    )
    assert status == 0, output
    return split(output)


def linux(context, disks, steps):
    """The same in one boot of a Linux guest, which mounts them with its own drivers."""
    sys.path.insert(
        0, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(__file__))), "bench")
    )
    import peer
    import qemu

    if not os.path.exists(peer.work("vmlinux")):
        raise Skip("the Linux guest's kernel could not be fetched (see the start of this output)")
    modules = peer.TRANSPORT["q35"] + peer.DISK + peer.VFAT
    archive = peer.initramfs("changes", modules, executable(LINUX, REFERENCE))
    devices = {name: f"vd{chr(ord('a') + i)}" for i, name in enumerate(disks)}
    words = [
        "DEV=1",
        "MODS=" + ",".join(modules),
        "MNTS=" + ",".join(f"{devices[name]}:{kind}" for name, (kind, _) in disks.items()),
        "RUN=" + ",".join(["/app", steps, *(f"/mnt/{device}" for device in devices.values())]),
    ]
    command = qemu.command(
        peer.kernel()[0], peer.command_line(words), machine="q35", initrd=archive
    )
    for name, (_, path) in disks.items():
        command += [
            "-drive",
            f"if=none,id={name},file={path},format=raw",
            "-device",
            f"virtio-blk-pci,drive={name}",
        ]
    output = context.run(*command).stdout
    for name, device in devices.items():
        output = output.replace(f"/mnt/{device}/", f"/{name}/")
    listings = split(output)
    assert listings, output
    return listings


def expected(context, steps, show="sums", least=100):
    """The result of the steps in a directory of the host, in the format of `show`; more than
    `least` lines each."""
    directory = context.path("host")
    os.mkdir(directory)
    program = executable(LINUX, REFERENCE)
    listings = []
    for step in steps:
        output = context.run(program, f"{step}+{show}", directory).stdout
        listings.append(below(split(output.replace(directory, "/host"))[0], "host"))
        assert len(listings[-1]) > least and listings[-1] not in listings[:-1], output
    return listings


def agree(context, form, kinds, boots):
    """Soil writes trees and changes them; Linux finds the expected trees and changes them; Soil
    does so in the other form; with two boots, Linux again."""
    disks = {}
    for name, (kind, make) in kinds.items():
        disks[name] = kind, context.path(name + ".img")
        make(context, disks[name][1])
    made, changed, back, last = expected(
        context,
        [
            "make+change:Down:soil:1",
            "change:soil:linux:2",
            "change:linux:again:3",
            "change:again:end:4",
        ],
    )
    other = REFERENCE if form != "process" else "q35"

    def all_same(listing, wanted, what):
        for name, (kind, path) in disks.items():
            same(wanted, below(listing, name), f"{name}, {what}")
            check(context, kind, path, f"{name}, {what}")

    all_same(
        soil(context, form, disks, "make+change:Down:soil:1+sums")[0], made, f"written by {form}"
    )
    found, after = linux(context, disks, "sums+change:soil:linux:2+sums")
    for name in disks:
        same(made, below(found, name), f"{name}, written by {form}, read by Linux")
    all_same(after, changed, "changed by Linux")
    found, after = soil(context, other, disks, "sums+change:linux:again:3+sums")
    for name in disks:
        same(changed, below(found, name), f"{name}, changed by Linux, read by {other}")
    all_same(after, back, f"changed by {other}")
    if boots > 1:
        found, after = linux(context, disks, "sums+change:again:end:4+sums")
        for name in disks:
            same(back, below(found, name), f"{name}, changed by {other}, read by Linux")
        all_same(after, last, "changed by Linux at last")
        found = soil(context, form, disks, "sums")[0]
        all_same(found, last, f"changed by Linux at last, read by {form}")
    for _, path in disks.values():
        os.unlink(path)


@test(limit=240)
def linux_agrees(context):
    """A FAT of each kind, first in the image, then Linux, then the process."""
    agree(context, "q35", FEW, boots=1)


@test(limit=1200, long=True)
def linux_agrees_on_many(context):
    """More sizes of clusters, sectors and blocks, with the process first."""
    agree(context, "process", MANY, boots=2)


@test(limit=240)
def linux_agrees_on_links(context):
    """Linux reads Soil's hard and symbolic links, with their targets and link counts, and Soil
    reads Linux's."""
    kinds = {"ext4_1k": ext4(1024), "ext4_4k": ext4(4096), "ext4_inode": ext4(4096, "-I", "128")}
    disks = {name: (kind, context.path(name + ".img")) for name, (kind, _) in kinds.items()}
    for name, (_, make) in kinds.items():
        make(context, disks[name][1])
    made, changed, back = expected(
        context, ["link:soil", "relink:soil+link:linux", "relink:linux"], show="links", least=7
    )

    def all_same(listing, wanted, what):
        for name, (kind, path) in disks.items():
            same(wanted, below(listing, name), f"{name}, {what}")
            check(context, kind, path, f"{name}, {what}")

    all_same(soil(context, "q35", disks, "link:soil+links")[0], made, "made by Soil")
    found, after = linux(context, disks, "links+relink:soil+link:linux+links")
    for name in disks:
        same(made, below(found, name), f"{name}, made by Soil, read by Linux")
    all_same(after, changed, "changed by Linux")
    found, after = soil(context, REFERENCE, disks, "links+relink:linux+links")
    for name in disks:
        same(changed, below(found, name), f"{name}, changed by Linux, read by Soil")
    all_same(after, back, "changed by Soil")
