"""The host's disk is full: a machine goes on, its program sees errors, and works again when there
is room."""

import contextlib
import os
import socket
import time

from cases.tasks import fat_disk
from harness.console import PATIENCE
from harness.context import MACHINES, Skip
from harness.runner import test

PROGRAM = "tests/programs/storage/full_host.exe"


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


def said(address):
    """What the program answers: how often it has written, and the state of that."""
    with socket.create_connection((address, 7), timeout=PATIENCE) as connection:
        text = b""
        while piece := connection.recv(4096):
            text += piece
    count, state = text.decode().strip().split(" ", 1)
    return int(count), state


def full(context, form, kind):
    tap = context.tap()
    with small_host(context, f"{form}-{kind}", 12) as folder:
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
        child = context.soil(PROGRAM, form, options=options, tap=tap)
        child.wait_line("state: works")
        child.wait_line("disk data: a write of")
        child.wait_line("state: fails: ")
        assert "No space left on device" in child.text, child.text
        # It answers meanwhile.
        count, _ = said(tap.guest)
        os.unlink(ballast)
        until = time.monotonic() + PATIENCE
        while said(tap.guest)[0] < count + 2:
            assert time.monotonic() < until, child.text
            time.sleep(0.05)


def on_machines(kind):
    """Registers a test of a file system for each machine."""
    for form in MACHINES:

        def named(context, form=form):
            full(context, form, kind)

        named.__doc__ = f"The host's disk is full while a program writes to {kind} on it."
        test(f"full-host-{kind}-{form}")(named)


for name in ("fat", "ext4"):
    on_machines(name)
