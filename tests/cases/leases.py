"""Soil.In_place: files of every kind of volume read in place, in every form."""

from cases.network import in_every_form
from cases.tasks import fat_disk
from harness.context import outcome

PROGRAM = "tests/programs/storage/leases.exe"
SIZE = 300_001


def expected():
    """The program's output, on every kind of volume."""
    for path in ("/fat/file", "/ext4/file", "/tmp/file", "/embedded/file"):
        yield f"{path}: cold {SIZE} true"
        yield f"{path}: again {SIZE} true"
        yield f"{path}: a part 170001 true"
        yield f"{path}: past the end {SIZE + 5} true"
        yield f"{path}: lease true true, nothing at the end, nothing of 0 bytes"
        yield f"{path}: released 0, kept true, position 0"
        yield f"{path}: given back"
    for path in ("/fat/text", "/ext4/text", "/tmp/text"):
        yield "written from where it lies"
        yield f"{path}: wrote 27"
    for path in ("/fat/changed", "/ext4/changed", "/tmp/changed"):
        yield f"{path}: written, the lease is old: true"
        yield f"{path}: the file is new: {SIZE} true"
        yield f"{path}: and synced: {SIZE} true"
        yield f"{path}: cut and extended: 5000 true, the lease is old: true"
    for path in ("/fat/together", "/ext4/together", "/tmp/together"):
        yield f"{path}: true, 0 torn"
    for path in ("/fat/file", "/ext4/file", "/tmp/file", "/embedded/file"):
        yield f"{path}: at last out of memory, a copy is 1000"
        yield f"{path}: afterwards true"
    yield "closed: descriptor is closed"
    yield "Soil.In_place.lease: negative number"
    yield "hits: true"


@in_every_form(limit=120)
def files(context, form):
    """Cold and cached, whole and in parts; leases stay valid while the file is written, cut and
    removed; bounds and errors."""
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
    status, output = outcome(context.soil(PROGRAM, form, options=options), context)
    assert output.splitlines() == list(expected()), output
    assert status == 0, status
    context.run("fsck.fat", "-n", fat)
    context.run("e2fsck", "-fn", ext4)
