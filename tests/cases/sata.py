"""SATA disks of an AHCI controller: several of one, discards, errors of queued and other commands,
file systems. QEMU has no disks with larger sectors there, no resizing and no removal: the tests of
the driver have a controller that has."""

import re

from cases import storage_kills
from cases.block_devices import disk, run, stuck_beside_another
from cases.disks import WORK
from cases.tasks import fat_disk
from harness import faulty, sata
from harness.context import outcome
from harness.runner import test

FORMS = ("q35", "pc")
KINDS = ("few: 6", "durable: 3", "unaligned: 4", "many: 300", "too many for a request: 1500")


def check_vectors(output):
    assert "sectors of 512" in output, output
    for kind in KINDS:
        assert f"{kind} slices, written true, read true" in output, output


@test(limit=180)
def disks_of_one_controller(context):
    """Three disks beside an optical drive: each is found by its serial number, keeps what is
    written, and the others stay untouched."""
    for form in FORMS:
        qemu = ["--qemu", sata.controller(context, f"qemu-{form}")]
        paths = [disk(context, f"{form}-{name}.img") for name in ("first", "data", "last")]
        disks = {"first": paths[0], "data": paths[1], "last": paths[2]}
        check_vectors(run(context, form, ["vectors"], disks, qemu))
        for path in (paths[0], paths[2]):
            with open(path, "rb") as file:
                assert not any(file.read()), f"{form}: {path} was written to"


@test(limit=60)
def discards(context):
    """TRIM: a discarded sector is zeros in the host's file, and the rest stays. A SATA disk offers
    no zeros without a transfer."""
    path = disk(context)
    qemu = ["--qemu", sata.controller(context, "qemu")]
    output = run(context, "q35", ["clearing"], {"data": path}, qemu)
    assert "offered: true false" in output and "discard: done" in output, output
    assert output.rstrip().endswith("rest true true"), output
    with open(path, "rb") as file:
        assert not any(file.read(512)) and any(file.read(512))


@test(limit=120)
def requests_that_fail(context):
    """Errors of queued commands are values, and those of their requests only; a disk whose every
    write fails from some time on keeps what it has, and one whose flushes fail syncs nothing."""
    for number, once in ((9, True), (20, False)):
        path = fat_disk(context, size=32 << 20)
        qemu = faulty.failing(context, "write_aio", number, once=once)
        options = ["--disk", f"data={path}", "--qemu", sata.controller(context, "qemu", qemu=qemu)]
        child = context.soil(WORK, "q35", "faults", "12", options=options)
        status, output = outcome(child, context)
        assert status == 0 and "panic" not in output, output
        found = re.search(r"synced (\d+), as written (\d+), ticks", output)
        assert found and 0 < int(found[1]) and found[1] == found[2], output
        # The driver sends a failed command once more, alone.
        assert (int(found[1]) == 12) == once, output
    path = fat_disk(context, size=32 << 20)
    qemu = sata.controller(context, "qemu", qemu=faulty.failing_flush(context))
    options = ["--disk", f"data={path}", "--qemu", qemu]
    status, output = outcome(context.soil(WORK, "q35", "faults", "6", options=options), context)
    assert status == 0 and "synced 0, as written 0" in output, output


@test(limit=90)
def a_stuck_disk_beside_another(context):
    """While a disk answers nothing, another one of the controller is written, read and flushed."""
    stuck_beside_another(context, sata.controller)


@test(limit=120)
def file_systems(context):
    """Synced files of a FAT volume on a SATA disk are there after the machine, and the volume is
    clean."""
    for form in FORMS:
        path = fat_disk(context, f"{form}.img", 32 << 20)
        options = ["--disk", f"data={path}", "--qemu", sata.controller(context, f"qemu-{form}")]
        status, output = outcome(context.soil(WORK, form, "health", options=options), context)
        assert status == 0 and output.count("writable") == 2, output
        context.run("fsck.fat", "-n", path)
        child = context.soil(WORK, form, "read", "/data/00003.bin", options=options)
        status, output = outcome(child, context)
        assert status == 0 and f"{3 * 977 % 9000} bytes" in output, output


@test(limit=180)
def killed_ext4(context):
    """QEMU is killed while a program writes and syncs ext4 on a SATA disk: synced data is there,
    and e2fsck agrees."""
    qemu = sata.controller(context, "qemu")
    storage_kills.kill(context, "none", storage_kills.FEW, form="q35", qemu=qemu)
