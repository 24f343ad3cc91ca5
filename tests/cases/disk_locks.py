"""Disks that two programs want at once: only readers share one, and a refused program names the
process that holds it. QEMU and the process form respect each other's locks."""

import os
import signal

from cases.network import machine_pid
from cases.tasks import fat_disk
from harness.context import FORMS, MACHINES, QEMU, SOIL, outcome
from harness.runner import test

PROGRAM = "tests/programs/soil/block_work.exe"
# The kernel keeps 15 letters.
NAMES = {"process": "block_work.exe", **dict.fromkeys(MACHINES, os.path.basename(QEMU)[:15])}


def image(context, name="disk.img"):
    path = context.path(name)
    with open(path, "wb") as file:
        file.truncate(1 << 20)
    return path


def started(context, form, disk):
    """A program that keeps the disk open until it is ended."""
    child = context.soil(PROGRAM, form, "watch", "9", options=["--disk", f"data={disk}"])
    child.wait_line("sectors 2048")
    # No request is left in the kernel, which would hold the lock after the program's end.
    child.wait_line("write the last that was")
    return child


def kill(context, child):
    """Kills the program, and returns after its end."""
    os.kill(machine_pid(child), signal.SIGKILL)
    child.finish(context.remaining())


def tried(context, form, disk):
    """The output of a program that opens the disk and closes it again."""
    return outcome(context.soil(PROGRAM, form, "read", options=["--disk", f"data={disk}"]), context)


def refused(context, form, disk, holder, *texts):
    """The program of this form is refused the disk, with an error that names the disk, the holder
    and the remedy."""
    status, output = tried(context, form, disk)
    assert "open: done" not in output, output
    assert form == "process" or status == 125, f"status {status}: {output}"
    path = disk.removesuffix(",ro")
    for text in ("disk data", path, f"process {machine_pid(holder)}", *texts):
        assert text in output, f"{text!r} is missing from:\n{output}"


def allowed(context, form, disk):
    status, output = tried(context, form, disk)
    assert status == 0 and "open: done" in output, output


@test(limit=240)
def programs_lock_their_disks(context):
    """Each form against each: readers share, a writer excludes all others, and a killed program
    leaves no lock."""
    path = image(context)
    for first in FORMS[:2]:
        for second in FORMS[:2]:
            writer = started(context, first, path)
            name = NAMES[first]
            refused(context, second, path, writer, name, "writes to it", "end that first", "a copy")
            refused(context, second, f"{path},ro", writer, name, "writes to it", "a copy")
            kill(context, writer)
            reader = started(context, first, f"{path},ro")
            refused(context, second, path, reader, name, "reads it", "end that first", ",ro")
            allowed(context, second, f"{path},ro")
            kill(context, reader)
            allowed(context, second, path)


@test(limit=120)
def soil_disk_sees_programs(context):
    """`soil disk` changes no image that a program has open, and doesn't read one that a program
    writes."""
    path = fat_disk(context, size=1 << 20)
    folder = context.path("folder")
    os.mkdir(folder)
    writes = (
        ["grow", path, "--size", "2M"],
        ["make", path, folder, "--size", "1M", "--fs", "fat", "--force"],
    )
    reads = (["list", path], ["check", path], ["extract", path, folder])
    for form in FORMS[:2]:
        for options, refusals in (("", [*writes, *reads]), (",ro", writes)):
            child = started(context, form, path + options)
            names = sorted(os.listdir(context.directory))
            with open(path, "rb") as file:
                before = file.read()
            for words in refusals:
                done = context.run(SOIL, "disk", *words, check=False)
                assert done.returncode == 1, f"{words}: {done}"
                for text in (path, NAMES[form], f"process {machine_pid(child)}", "end that first"):
                    assert text in done.stderr, f"{words}: {text!r} is missing from {done.stderr}"
            if options:
                for words in reads[:2]:
                    context.run(SOIL, "disk", *words)
            with open(path, "rb") as file:
                assert file.read() == before, "the image was changed"
            assert sorted(os.listdir(context.directory)) == names, "something was left"
            kill(context, child)
    for words in (*reads, *writes):
        context.run(SOIL, "disk", *words)


@test()
def one_file_is_one_disk(context):
    """A file given as two disks is refused before the start, unless both are read-only."""
    path = image(context)
    os.link(path, context.path("link.img"))
    for form in FORMS:
        for one, other in (("", ""), (",ro", ""), ("", ",ro"), (",ro", ",ro")):
            options = [
                "--disk",
                f"data={path}{one}",
                "--disk",
                f"other={context.path('link.img')}{other}",
            ]
            status, output = outcome(context.soil(PROGRAM, form, "read", options=options), context)
            if one and other:
                assert status == 0 and "open: done" in output, output
            else:
                assert status == 125 and "disk other" in output and "disk data as well" in output, (
                    output
                )
