"""Volumes on disks that became larger than their file systems: ext4 grows at the mount, in each
form."""

import os
import re

from cases.tasks import fat_disk
from harness.context import FORMS, outcome
from harness.runner import test

PROGRAM = "tests/programs/storage/grown.exe"
MIB = 1 << 20


def ext4_disk(context, form, size):
    """A disk with ext4, as a whole."""
    path = context.path(f"{form}-whole.img")
    with open(path, "wb") as file:
        file.truncate(size)
    context.run("mkfs.ext4", "-q", path)
    return path, 0


def partitioned(context, form, size):
    """A disk with a GPT, whose last partition has ext4; returns the partition's offset, too."""
    path, start = context.path(f"{form}-gpt.img"), 4 * MIB
    with open(path, "wb") as file:
        file.truncate(start + size + MIB)
    table = "label: gpt\nsize=2MiB, name=other\n"
    table += f"start={start // 512}, size={size // 512}, name=data\n"
    context.run("sfdisk", "-q", path, input=table)
    context.run("mkfs.ext4", "-q", "-E", f"offset={start}", path, f"{size // 1024}K")
    return path, start


def grown(context, form, disk, source, *words):
    mount = f"/data={source},grow"
    options = ["--disk", f"data={disk}", "--mount", mount, "--log", "info"]
    child = context.soil(PROGRAM, form, *words, options=options)
    status, output = outcome(child, context)
    assert status == 0, output
    return output


def checked(context, disk, start):
    context.run("e2fsck", "-fn", f"{disk}?offset={start}")


def enlarge(disk, size):
    with open(disk, "r+b") as file:
        file.truncate(size)


@test(limit=300)
def a_volume_grows_with_its_disk(context):
    """A disk file is made larger, twice: the program has its files and writes more than the old
    disk had, and e2fsck and sfdisk find nothing."""
    for form in FORMS:
        for make, source in ((ext4_disk, "ext4:data"), (partitioned, "ext4:data/data")):
            disk, start = make(context, form, 12 * MIB)
            output = grown(context, form, disk, source, "one", "4")
            assert "one: true, of" in output and "grew" not in output, output
            checked(context, disk, start)
            enlarge(disk, 36 * MIB)
            output = grown(context, form, disk, source, "two", "16", "one")
            assert "one: true\n" in output and "two: true, of" in output, output
            assert re.search(r"ext4 volume grew from \d+ to 3\d MiB", output), output
            checked(context, disk, start)
            enlarge(disk, 60 * MIB)
            output = grown(context, form, disk, source, "three", "20", "one", "two")
            assert "one: true\ntwo: true\nthree: true, of" in output, output
            assert "sfdisk" not in output and "gdisk" not in output, output
            checked(context, disk, start)
            if start:
                found = context.run("sfdisk", "--verify", disk)
                text = found.stdout + found.stderr
                assert "No errors detected" in text, text
                end = re.search(r"data.*|.*data", context.run("sfdisk", "-d", disk).stdout)
                size = int(re.search(r"size= *(\d+)", end.group()).group(1)) * 512
                assert start + size == 59 * MIB, end.group()
            os.unlink(disk)


@test(limit=120)
def a_volume_that_cannot_grow_says_so(context):
    """Without the option nothing changes; FAT names the command that enlarges it."""
    for form in FORMS[:2]:
        disk, start = ext4_disk(context, form, 40 * MIB)
        enlarge(disk, 80 * MIB)
        options = ["--disk", f"data={disk}", "--log", "info"]
        child = context.soil(PROGRAM, form, "one", "2", options=options)
        status, output = outcome(child, context)
        total = int(re.search(r"of (\d+) MiB", output).group(1))
        assert status == 0 and total == 40 and "grew" not in output, output
        checked(context, disk, start)
        disk = fat_disk(context, f"{form}.fat", 16 * MIB)
        enlarge(disk, 32 * MIB)
        output = grown(context, form, disk, "fat:data", "one", "2")
        lines = [line for line in output.splitlines() if "soil disk grow" in line]
        assert len(lines) == 1, output
        context.run("fsck.fat", "-n", disk)
