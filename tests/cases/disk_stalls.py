"""Volumes (`Soil.Fs`) on a disk that stops answering: every call fails at its deadline, all other
work continues, and no data is lost."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time

from cases.disks import loop_mounted
from cases.tasks import fat_disk
from harness import faulty
from harness.console import PATIENCE, Timeout
from harness.context import MACHINES, outcome
from harness.qmp import Monitor
from harness.runner import test
from harness.slow_folder import FSYNC, SlowFolder

PROGRAM = "tests/programs/storage/stall_work.exe"
KINDS = ("fat", "ext4")
DEADLINE = 6
LINE = f"has not responded for {DEADLINE} s: I/O fails until it does"


def volume(context, kind, name, size=64 << 20):
    """A file system with the file `large`, of 24 MiB."""
    folder = context.path(f"{name}-files")
    os.makedirs(folder)
    large = os.path.join(folder, "large")
    with open(large, "wb") as file:
        file.write(b"l" * (24 << 20))
    path = context.memory_path(name)
    if kind == "fat":
        fat_disk(context, path, size)
        context.run("mcopy", "-i", path, large, "::/large")
    else:
        with open(path, "wb") as file:
            file.truncate(size)
        context.run("mkfs.ext4", "-q", "-d", folder, path)
    os.unlink(large)
    return path


def options(kind, path, other):
    words = ["--disk", f"data={path}", "--disk", f"other={other}"]
    return [
        *words,
        "--mount",
        f"/data={kind}:data",
        "--mount",
        "/other=fat:other",
        "--env",
        f"SOIL_DISK_TIMEOUT={DEADLINE}",
    ]


def stalling(context, kind, form, word, mounted=True, turn=(0, 0)):
    """A machine, its monitor, a function that limits the rate of its disk `data`, and the disk's
    path."""
    name = f"{kind}-{form}-{word}-{turn[0]}-{turn[1]}"
    path = volume(context, kind, f"{name}.img")
    other = fat_disk(context, context.memory_path(f"{name}-other.img"), 16 << 20)
    monitor = context.path(f"stall-{name}")
    qemu = faulty.throttled(
        context, 0, ("-qmp", f"unix:{monitor},server=on,wait=off"), only="disk0"
    )
    words = [word for word in options(kind, path, other) if mounted or word != f"/data={kind}:data"]
    if not mounted:
        words.remove("--mount")
    child = context.soil(
        PROGRAM, form, word, options=[*words, "--qemu", qemu], stdin=subprocess.PIPE
    )
    child.wait_line("working")
    monitor = Monitor(monitor)

    def limit(bytes_in_a_second):
        # The level of the bucket when a request arrives determines its wait; later changes of the
        # limit don't affect it.
        monitor.ask(
            "qom-set",
            path="/objects/slow",
            property="limits",
            value={"bps-total": bytes_in_a_second},
        )

    return child, monitor, limit, path


def stalled(context, kind, form, bytes_in_a_second, attempt=0):
    """The same, with the disk slowed during its work. If QEMU itself wasn't scheduled for the
    length of the disk's deadline before that, which isn't the test's stall, starts another
    machine."""
    slow = []
    for turn in range(3):
        try:
            child, monitor, limit, path = stalling(
                context, kind, form, "work", turn=(attempt, turn)
            )
        except Timeout as problem:
            if LINE not in str(problem):
                raise
            slow.append(str(problem))
            continue
        child.wait_line("under way")
        # The machine may have ended.
        with contextlib.suppress(OSError, ValueError):
            limit(bytes_in_a_second)
        child.drain(0)
        if "failed:" not in child.text:
            return child, monitor, limit, path
        slow.append(child.text)
        child.stop()
    raise AssertionError("the disk was too slow before:\n" + "\n".join(slow))


def check(context, kind, path):
    if kind == "fat":
        context.run("fsck.fat", "-n", path)
    else:
        context.run("e2fsck", "-fn", path)


def at_once(context, what, output):
    """Checks that the stalled volume refused a call, and didn't wait for the deadline."""
    found = re.search(rf"refused {what} after (\d+) ms: (.*)", output)
    assert found and "not refused" not in output, output
    context.bound(f"ms until {what} was refused", int(found[1]), DEADLINE * 500)


def check_work(context, output):
    failures = re.findall(r"failed: (\w+) after (\d+) good, waited (\d+) ms: (.*)", output)
    assert sorted(what for what, *_ in failures) == sorted(
        ["read", "write", "fsync", "sync"] * 2
    ), output
    for what, good, waited, line in failures:
        assert "disk data " + LINE in line, line
        # A call that waits for the disk would wait until the test resumes it, and one deadline
        # after the other takes eight of them.
        context.bound(f"ms that {what} waited", int(waited), DEADLINE * 7000)
        assert int(good) > 0 or what != "read", output
    assert max(int(waited) for _, _, waited, _ in failures) >= DEADLINE * 900, output
    assert "ticks true, others true" in output, output
    for what in ("stat", "open"):
        at_once(context, what, output)
    assert "read: works again" in output and "sync: works again" in output, output
    assert (
        "wrong contents" not in output and "is damaged" not in output and "is lost" not in output
    ), output
    assert "panic" not in output, output


@test(limit=360)
def a_machine_volume_stops_answering(context):
    """FAT and ext4: reads, writes, `fsync` and `sync` fail at the deadline with a line that names
    the disk, later calls fail at once; tasks and another volume continue; when the disk answers,
    the volume works again, and its file system is intact."""
    for form in MACHINES:
        for kind in KINDS:
            # The size of a request bounds the stall: on a slow host the disk may answer before
            # the last calls.
            for attempt in range(3):
                child, _, limit, path = stalled(context, kind, form, 8000, attempt)
                child.wait_line("stalled")
                is_stalled = "data answers again" not in child.text
                limit(0)
                status, output = outcome(child, context)
                assert status == 0, output
                check(context, kind, path)
                if is_stalled:
                    break
            check_work(context, output)


@test(limit=180)
def a_mount_stops_answering(context):
    """The disk stops before the mount: the mount fails at the deadline, a second one at once, and a
    later one works."""
    for form in MACHINES:
        for kind in KINDS:
            child, _, limit, path = stalling(context, kind, form, "mount", mounted=False)
            limit(350)
            child.process.stdin.write(b"stopped\n")
            child.process.stdin.flush()
            child.wait_line("stalled")
            limit(0)
            status, output = outcome(child, context)
            assert status == 0, output
            found = re.search(
                r"failed: mount after 0 good, waited (\d+) ms: .*disk data " + LINE, output
            )
            assert found, output
            context.bound("ms that the mount waited", int(found[1]), DEADLINE * 7000)
            at_once(context, "mount", output)
            for line in ("ticks true, others true", "mount: works again", "unmounted"):
                assert line in output, output
            check(context, kind, path)


@test(limit=120)
def a_program_ends_on_a_disk_that_stops(context):
    """The end of a program, and Ctrl-C, wait for the disk no longer than its deadline: the program
    ends by itself, with its own status."""
    for kind in KINDS:
        for stopped in (False, True):
            # A request to the disk takes minutes.
            if stopped:
                child, monitor, limit, _ = stalling(context, kind, MACHINES[0], "ends")
                limit(350)
                child.wait_line("ending")
            else:
                child, monitor, limit, _ = stalled(context, kind, MACHINES[0], 350)
                child.wait_line("stalled")
                child.signal(signal.SIGINT)
            # Since 9.2, QEMU itself waits for its disks at its end: the program's output comes
            # before.
            if monitor.wait_event("SHUTDOWN"):
                child.stop()
            else:
                status = child.finish(context.remaining())
                # `soil run` kills a machine that doesn't stop after some time, with this line.
                assert "did not stop within" not in child.text, child.text
                assert status == (0 if stopped else 143), f"status {status}\n{child.text}"


@test(limit=120)
def a_process_volume_stops_answering(context):
    """The same for a file on a file system of the host that is frozen for several seconds."""
    for kind in KINDS:
        below, above = (context.memory_path(f"{kind}-{layer}") for layer in ("below", "above"))
        loop_mounted(context, below + ".img", below, 128)
        try:
            loop_mounted(context, os.path.join(below, "above.img"), above, 100)
            path = os.path.join(above, "disk.img")
            shutil.copyfile(volume(context, kind, f"{kind}-process.img"), path)
            other = context.memory_path(f"{kind}-process-other.img")
            fat_disk(context, other, 16 << 20)
            child = context.soil(PROGRAM, "process", "work", options=options(kind, path, other))
            child.wait_line("under way")
            context.run("fsfreeze", "-f", below)
            try:
                child.wait_line("stalled")
            finally:
                context.run("fsfreeze", "-u", below)
            status, output = outcome(child, context)
            assert status == 0, output
            check_work(context, output)
            check(context, kind, path)
        finally:
            for directory in (above, below):
                context.run("umount", "-l", directory, check=False)


@test(limit=120)
def reads_beside_a_flush(context):
    """Four synced appends to a disk whose flushes (two a sync for ext4) each end only after other
    operations of the same volume that began later have ended: a read, a stat, a file read whole, a
    directory listing."""
    for kind, least in (("fat", 1), ("ext4", 2)):
        with open(volume(context, kind, f"{kind}-flush.img"), "rb") as file:
            contents = file.read()
        holds = threading.Event()
        directory = context.path(f"{kind}-slow")
        with SlowFolder(directory, contents, lambda code: code == FSYNC and holds.is_set()) as disk:
            disk.serve()
            released = flushed(context, kind, disk, holds)
            contents = bytes(disk.contents)
        assert released >= 4 * least, f"{kind}: {released} flushes"
        path = context.path(f"{kind}-flushed.img")
        with open(path, "wb") as file:
            file.write(contents)
        check(context, kind, path)


def flushed(context, kind, disk, holds):
    """Runs the program on `disk` and completes a flush after other operations ran during it;
    returns the number of such flushes."""
    path = os.path.join(disk.directory, "file")
    words = ["--disk", f"data={path}", "--mount", f"/data={kind}:data"]
    words += ["--env", "SOIL_DISK_TIMEOUT=600"]
    child = context.soil(PROGRAM, MACHINES[0], "flushes", "4", options=words, stdin=subprocess.PIPE)
    child.wait_line("working")
    holds.set()
    child.process.stdin.write(b"go on\n")
    child.process.stdin.flush()
    until, since, released = time.monotonic() + PATIENCE, None, 0
    while not any(line.startswith("synced") for _, line in child.lines):
        assert time.monotonic() < until, (
            f"{kind}: {released} flushes ended, and the next one holds up the others:\n{child.text}"
        )
        child.drain(0.01)
        used = sum(line.startswith("used") for _, line in child.lines)
        if not disk.requests:
            since = None
        elif since is None:
            since = used
        # One of each kind may have begun before.
        elif used >= since + 5:
            disk.answer(disk.requests[0])
            released, since = released + 1, None
            until = time.monotonic() + PATIENCE
    holds.clear()
    # A request held only now enters the list after this.
    while disk.requests or child.process.poll() is None and time.monotonic() < until:
        if disk.requests:
            disk.answer(disk.requests[0])
        child.drain(0.01)
    status, output = outcome(child, context)
    assert status == 0, output
    return released
