"""Soil.File and the forms of Soil.Fs.rename: allocation, holes, times and names, on each kind of
volume, in every form."""

from cases.network import in_every_form
from cases.tasks import fat_disk
from harness.context import outcome

PROGRAM = "tests/programs/storage/ranges.exe"
ACCESSED = "1600000000.123456789"
MODIFIED = "1500000000.999999999"


def of_holes(root):
    """The program's output on a file system with holes."""
    yield f"{root}: data at 128, hole at 320, then none, 400, none"
    yield f"{root}: punch: done"
    yield f"{root}: 64 KiB back, hole at 192, data at 256"
    yield f"{root}: allocate: done"
    yield f"{root}: 1024 KiB taken, size 1536"
    yield f"{root}: keep the size: done"
    yield f"{root}: 512 KiB taken, size 1536"
    yield f"{root}: zero: done"
    yield f"{root}: true true true true"
    yield f"{root}: too much: no space left"
    yield f"{root}: no bytes: Soil.File.allocate: no bytes"
    yield f"{root}: reading only: read-only"
    yield f"{root}: read {ACCESSED}, written {MODIFIED}, float 1500000001.000"
    yield f"{root}: changed lately: true"
    yield f"{root}: not found, Soil.File.set_times: nanoseconds"
    yield f"{root}: no replace: exists already"
    yield f"{root}: exchange: done"
    yield f"{root}: a is a file: false"
    yield f"{root}: with nothing: not found"
    yield f"{root}: into itself: invalid argument"
    yield f"{root}: some is reserved: {'true' if root == '/ext4' else 'false'}"


def of_fat(root):
    """Its output on FAT, whose files have no holes."""
    yield f"{root}: data at 0, hole at 1024, then 400, 1024, none"
    yield f"{root}: punch: not supported"
    yield f"{root}: 0 KiB back, hole at 1024, data at 192"
    yield f"{root}: allocate: done"
    yield f"{root}: 512 KiB taken, size 1536"
    yield f"{root}: keep the size: not supported"
    yield f"{root}: 0 KiB taken, size 1536"
    yield f"{root}: zero: not supported"
    yield f"{root}: false true false true"
    yield f"{root}: too much: too large"
    yield f"{root}: no bytes: Soil.File.allocate: no bytes"
    yield f"{root}: reading only: read-only"
    yield f"{root}: read 1500000000.000000000, written 1500000000.000000000, float 1500000000.000"
    yield f"{root}: changed lately: false"
    yield f"{root}: not found, Soil.File.set_times: nanoseconds"
    yield f"{root}: no replace: exists already"
    yield f"{root}: exchange: not supported"
    yield f"{root}: a is a file: true"
    yield f"{root}: with nothing: not supported"
    yield f"{root}: into itself: not supported"
    yield f"{root}: some is reserved: false"


def of_memory(root):
    """Its output where a file is larger than memory."""
    out_of_memory = f"read {root}/huge: no memory for 1099511627776 bytes"
    yield f"{root}: huge: out of memory"
    yield f"{root}: huge value: {out_of_memory}"
    yield f"{root}: part: {out_of_memory}"
    yield f"{root}: few: done"


@in_every_form(limit=120)
def file_ranges(context, form):
    """Allocation, holes, times and names as Soil.File and Soil.Fs.rename change them; the disks are
    clean, and debugfs reads the same times."""
    fat, ext4 = fat_disk(context, f"{form}.fat"), context.path(f"{form}.ext4")
    with open(ext4, "wb") as file:
        file.truncate(64 << 20)
    context.run("mkfs.ext4", "-q", ext4)
    options = [
        "--disk",
        f"fat={fat}",
        "--disk",
        f"ext4={ext4}",
        "--mount",
        "/fat=fat:fat",
        "--mount",
        "/ext4=ext4:ext4",
    ]
    # A process has as much memory as its host overcommits.
    words = [] if form == "process" else ["huge"]
    status, output = outcome(context.soil(PROGRAM, form, *words, options=options), context)
    expected = [
        *(of_memory("/ext4") if words else []),
        *of_holes("/ext4"),
        *of_holes("/tmp"),
        *of_fat("/fat"),
        "another volume: not on the same volume",
    ]
    assert output.splitlines() == expected, output
    assert status == 0, status
    context.run("fsck.fat", "-n", fat)
    context.run("e2fsck", "-fn", ext4)
    text = context.run("debugfs", "-R", "stat ranges", ext4).stdout
    for name, seconds, nanoseconds in [
        ("atime", 1_600_000_000, 123_456_789),
        ("mtime", 1_500_000_000, 999_999_999),
    ]:
        assert f"{name}: 0x{seconds:08x}:{nanoseconds << 2:08x}" in text, text
