"""The host's disk is full: a machine goes on, its program sees errors, and works again when there
is room."""

import contextlib
import http.client
import itertools
import os
import signal
import time

from harness.console import PATIENCE
from harness.context import FORMS, Skip
from harness.runner import test
from harness.scsi import adapter

from cases.tasks import fat_disk

PROGRAM = "tests/programs/http/full_host.exe"


@contextlib.contextmanager
def small_host(context, name, mebibytes):
    """A file system in memory of this size, on which a sparse file can be longer."""
    folder = context.path(name)
    os.makedirs(folder)
    size = f"size={mebibytes}m"
    done = context.run("mount", "-t", "tmpfs", "-o", size, "none", folder, check=False)
    if done.returncode != 0:
        raise Skip(f"a file system in memory can't be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        context.run("umount", "-l", folder)


def health(address):
    """The service's health: whether it is well, how often it has written, and the state of that."""
    connection = http.client.HTTPConnection(address, 80, timeout=PATIENCE)
    connection.request("GET", "/health")
    answer = connection.getresponse()
    count, state = answer.read().decode().strip().split(" ", 1)
    return answer.status == 200, int(count), state


def full(context, form, kind, scsi):
    tap = context.tap()
    with small_host(context, f"{form}-{kind}-{scsi}", 12) as folder:
        disk = os.path.join(folder, "data.img")
        if kind == "fat":
            fat_disk(context, disk, 40 << 20)
        else:
            with open(disk, "wb") as file:
                file.truncate(40 << 20)
            context.run("mkfs.ext4", "-q", disk)
        ballast = os.path.join(folder, "ballast")
        with open(ballast, "wb") as file:
            file.write(bytes(4 << 20))
        options = ["--disk", f"data={disk}"]
        if scsi:
            options += ["--qemu", adapter(context, "qemu")]
        child = context.soil(PROGRAM, form, options=options, tap=tap)
        child.wait_line("state: works")
        # Of virtio-blk's statuses none says why; SCSI's sense data and Linux do.
        says_why = scsi or form == "process"
        child.wait_line("state: fails: " + ("no space left" if says_why else "input/output error"))
        if form != "process":
            child.wait_line("disk data: a write of")
            assert "No space left on device" in child.text, child.text
        # It answers meanwhile.
        well, count, state = health(tap.guest)
        assert not well and state.startswith("fails"), state
        os.unlink(ballast)
        until = time.monotonic() + PATIENCE
        while health(tap.guest)[1] < count + 2:
            assert time.monotonic() < until, child.text
            time.sleep(0.05)
        assert health(tap.guest)[0]
        os.kill(child.process.pid, signal.SIGTERM)
        child.finish()
        check = ["fsck.fat", "-n"] if kind == "fat" else ["e2fsck", "-fn"]
        context.run(*check, disk)


def on(kind, form, scsi):
    """Registers a test of a file system on a machine."""

    @test(
        f"full-host-{kind}-{form}" + ("-scsi" if scsi else ""),
        shows=f"The host's disk is full while a program writes to {kind} on it: it sees errors, "
        "and goes on when there is room.",
    )
    def _(context):
        full(context, form, kind, scsi)


for kind, form in itertools.product(("fat", "ext4"), FORMS):
    on(kind, form, False)
for kind in ("fat", "ext4"):
    on(kind, "q35", True)
