"""Disks that fail, are slow or shrink under a running program: errors are values, and all other
work continues."""

import os
import re

from cases.disks import work
from cases.tasks import fat_disk
from harness import faulty
from harness.context import MACHINES, outcome
from harness.runner import test

PROGRAM = "tests/programs/soil/disk_work.exe"
FILES = 12


def result(context, child):
    """The program's final lines: files synced, files that read as written, ticks, and the
    failures."""
    status, output = outcome(child, context)
    assert status == 0, output
    found = re.search(r"synced (\d+), as written (\d+), ticks (\d+)", output)
    assert found, output
    failures = [line for line in output.splitlines() if line.startswith("failed: ")]
    return *(int(n) for n in found.groups()), failures, output


def with_qemu(context, form, disk, qemu, count=FILES):
    options = ["--disk", f"data={disk}", "--qemu", qemu]
    return context.soil(PROGRAM, form, "faults", str(count), options=options)


@test(limit=300)
def one_request_fails(context):
    """EIO for a single write or read: that operation fails and reports it, no synced file is lost,
    and the disk can be checked."""
    for form in MACHINES:
        for event, number in (("write_aio", 3), ("write_aio", 9), ("read_aio", 12)):
            disk = fat_disk(context, f"{form}-{event}-{number}.img", 32 << 20)
            child = with_qemu(context, form, disk, faulty.failing(context, event, number))
            synced, good, _, failures, output = result(context, child)
            unread = [line for line in failures if line.startswith("failed: read ")]
            assert synced >= FILES - 2 and len(unread) <= 1, f"{event} {number}: {output}"
            assert good + len(unread) == synced, f"{event} {number}: {output}"
            assert all("input/output error" in line for line in failures), output
            context.run("fsck.fat", "-a", disk, check=False)
            context.run("fsck.fat", "-n", disk)
            os.unlink(disk)


@test(limit=120)
def no_flush_succeeds(context):
    """A disk whose flushes all fail: no sync reports success, and nothing hangs."""
    disk = fat_disk(context, size=32 << 20)
    child = with_qemu(context, "microvm", disk, faulty.failing_flush(context))
    synced, _, _, failures, output = result(context, child)
    assert synced == 0 and len(failures) == FILES, output


@test(limit=180)
def no_write_succeeds(context):
    """A disk that fails every write from some time on: writes return errors, synced data reads, the
    machine ends."""
    disk = fat_disk(context, size=32 << 20)
    child = with_qemu(
        context, "microvm", disk, faulty.failing(context, "write_aio", 20, once=False)
    )
    synced, good, _, failures, output = result(context, child)
    assert 0 < synced < FILES and good == synced and failures, output


@test(limit=120)
def slow_machine_disk(context):
    """At sixteen requests a second all work completes, and another task doesn't wait for it."""
    disk = fat_disk(context, size=32 << 20)
    child = with_qemu(context, "microvm", disk, faulty.throttled(context, 16), count=3)
    synced, good, ticks, failures, output = result(context, child)
    assert synced == good == 3 and not failures, output
    # The number of ticks in that time also depends on the machine.
    assert ticks >= 5, f"{ticks} ticks: {output}"
    context.bound("ticks that are missing", 30 - ticks, 0)


@test(limit=60)
def a_disk_shrinks(context):
    """The file behind a disk of the process becomes shorter: operations return errors, nothing else
    breaks."""
    disk = fat_disk(context, size=32 << 20)
    source = context.path("large")
    with open(source, "wb") as file:
        file.write(os.urandom(8 << 20))
    context.run("mcopy", "-i", disk, source, "::/large")
    os.truncate(disk, 2 << 20)
    status, output = outcome(work(context, "process", disk, "read", "/data/large"), context)
    assert status == 2 and ("truncated" in output or "input/output" in output), output
