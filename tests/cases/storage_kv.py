"""Power cuts under `Soil.Kv` on ext4: QEMU records every write and flush of an image, and each test
checks the disk after each prefix of them.

A replaced value is the old or the new one, whole; once `set` or `rename` has returned, it is the
new one. The writes themselves show the program's progress: each value has its number in every line,
and the next begins after the last has returned.
"""

import hashlib
import os
import random
import re
import shutil
import signal
import struct
import time

from cases.network import in_every_form, machine_pid
from cases.storage_kills import newest
from cases.tasks import fat_disk
from harness import faulty
from harness.context import FORMS, REFERENCE, outcome
from harness.runner import test

PROGRAM = "tests/programs/storage/kv_work.exe"
MIB = 1 << 20
SECTOR = 512
FLUSH, FUA = 1, 2
SEGMENT = ".soil-values-"
STAMP = re.compile(rb"(set|moved|t\d\d) (\d{10})\n")


def value(kind, number, most=700):
    """The value that kv_work.ml gives its key; none before the first."""
    return f"{kind} {number:010}\n".encode() * (1 + number * 977 % most) if number else None


def values(kind, number):
    """The same, large or small."""
    return [value(kind, number, most) for most in (700, 200)]


def fresh(context, path, *options):
    with open(path, "wb") as file:
        file.truncate(24 * MIB)
    context.run("mkfs.ext4", "-q", "-b", "4096", *(options or ("-J", "size=4")), path)


def recorded(context, disk, log, program, words, name="data", options=()):
    """Runs the image on `disk`, named `name`, with its writes recorded in `log`."""
    qemu = faulty.recording(context, log, SECTOR)
    options = ["--disk", f"{name}={disk}", "--qemu", qemu, "--mem", "256M", *options]
    child = context.soil(program, "microvm", *(str(word) for word in words), options=options)
    status, output = outcome(child, context)
    assert "done" in output, (status, output)


def entries(log):
    """The requests in QEMU's record: (byte, data), or None for a flush."""
    with open(log, "rb") as file:
        magic, version, count, unit = struct.unpack("<QQQI", file.read(28))
        assert (magic, version, unit) == (0x6A736677736872, 1, SECTOR), (magic, version, unit)
        file.seek(unit)
        for _ in range(count):
            sector, sectors, flags, _ = struct.unpack("<4Q", file.read(unit)[:32])
            data = file.read(sectors * unit)
            if flags & FLUSH:
                yield None
            if sectors:
                yield sector * unit, data
            if flags & FUA:
                yield None


def packed(folder):
    """The small values in a directory's segments (soil-ocaml/src/kv_log.ml)."""
    found = {}
    names = [name for name in os.listdir(folder) if name.startswith(SEGMENT)]
    for name in sorted(names, key=lambda name: int(name[len(SEGMENT) :])):
        with open(os.path.join(folder, name), "rb") as file:
            data = file.read()
        at = 16
        while at + 22 <= len(data):
            kind, length, size = struct.unpack_from("<BBH", data, at + 9)
            value = at + 22 + length
            end = value + size + data[at + 21]
            digest = hashlib.md5(data[8:16] + data[at + 9 : end]).digest()
            if end > len(data) or digest[:8] != data[at + 1 : at + 9]:
                break
            removed = data[at] == 255 or kind == 1
            found[data[at + 22 : value].decode()] = None if removed else data[value : value + size]
            found[data[value + size : end].decode()] = None
            at = end
    return {key: value for key, value in found.items() if value is not None}


def stored(context, disk, keys, directory="/store"):
    """The values of these keys on a disk, by debugfs: files come before small ones."""
    folder = context.path("stored")
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    context.run("debugfs", "-R", f"rdump {directory} {folder}", disk)
    folder = os.path.join(folder, os.path.basename(directory))
    if not os.path.exists(folder):
        return [None for _ in keys]
    small, found = packed(folder), []
    for name in keys:
        path = os.path.join(folder, name)
        if os.path.exists(path):
            with open(path, "rb") as file:
                found.append(file.read())
        else:
            found.append(small.get(name))
    return found


def replayed_by_soil(context, disk, keys, numbers=range(1, 1000)):
    """The same, read by Soil's own store after its own replay."""
    options = ["--disk", f"data={disk}", "--mount", "/data=ext4:data"]
    status, output = outcome(context.soil(PROGRAM, REFERENCE, "get", options=options), context)
    assert status == 0, output
    context.run("e2fsck", "-fn", disk)
    found = dict(line.split(" ", 1) for line in output.splitlines() if " " in line)
    known = {
        hashlib.md5(data).hexdigest(): data
        for kind in keys.values()
        for number in numbers
        for data in values(kind, number)
    }
    return [known.get(found.get(key)) for key in keys]


def in_sequence(begun):
    """The numbers allowed for each kind; `begun` has the newest with at least one write."""
    last = max(begun.values())
    # Of each step, this value is set before the other one begins.
    return {
        "set": {last} if begun["moved"] == last else {last - 1, last},
        "moved": {last - 1, last},
    }


def in_tasks(begun):
    """Each task sets its next value after the last has returned."""
    return {kind: {last - 1, last} for kind, last in begun.items()}


def check(found, allowed, what):
    for (kind, numbers), data in zip(allowed.items(), found):
        assert data in [v for number in numbers for v in values(kind, max(number, 0))], (
            f"{what}: {kind} is {data and (len(data), data[:20])}, and had begun one of "
            f"{sorted(numbers)}"
        )


def cut(context, work, keys, allow, losses, journal=True):
    """Checks the disk after each prefix, and `losses` times after losing some of the writes since
    the last flush; without a journal after all repairs. `keys` has the kind of value of each."""
    rng = random.Random(repr(work))
    # In memory: each check syncs the disk, which takes a busy host seconds.
    start, disk, log = (
        context.memory_path("start.img"),
        context.memory_path("disk.img"),
        context.memory_path("writes.log"),
    )
    fresh(context, start, *(() if journal else ("-O", "^has_journal")))
    context.run("cp", "--sparse=always", start, disk)
    recorded(context, disk, log, PROGRAM, work, options=["--mount", "/data=ext4:data"])
    with open(start, "rb") as file:
        safe = bytearray(file.read())
    pending, begun, cuts = [], dict.fromkeys(keys.values(), 0), 0

    def verify(kept):
        nonlocal cuts
        cuts += 1
        image = bytearray(safe)
        for at, data in kept:
            image[at : at + len(data)] = data
        with open(disk, "wb") as file:
            file.write(image)
        allowed = allow(begun)
        if journal and cuts % 20 == 1:
            check(replayed_by_soil(context, disk, keys), allowed, f"cut {cuts}, replayed by Soil")
            with open(disk, "wb") as file:
                file.write(image)
        if journal:
            context.run("e2fsck", "-E", "journal_only", "-y", disk, check=False)
            context.run("e2fsck", "-fn", disk)
        else:
            context.run("e2fsck", "-fy", disk, check=False)
        check(stored(context, disk, keys), allowed, f"cut {cuts}")

    for entry in entries(log):
        if entry is None:
            for at, data in pending:
                safe[at : at + len(data)] = data
            pending = []
            continue
        pending.append(entry)
        for kind, number in STAMP.findall(entry[1]):
            begun[kind.decode()] = max(begun[kind.decode()], int(number))
        # The store's own directory must exist, which the first value implies.
        if any(begun.values()):
            verify(pending)
            for _ in range(losses):
                verify([write for write in pending if rng.random() < 0.5])
    return begun, cuts


def cut_in_sequence(context, steps, losses, journal=True, work="set", least=20):
    keys = {"value": "set", "moved": "moved"}
    begun, cuts = cut(context, [work, steps], keys, in_sequence, losses, journal)
    assert max(begun.values()) == steps and cuts > least * steps, (begun, cuts)


def cut_in_tasks(context, steps, tasks, losses):
    keys = {name: name for name in (f"t{number:02}" for number in range(tasks))}
    begun, cuts = cut(context, ["together", steps, tasks], keys, in_tasks, losses)
    assert set(begun.values()) == {steps} and cuts > 20 * steps, (begun, cuts)


@test(limit=180)
def kv_power_cuts(context):
    """Some 300 cuts: each value is old or new, and no returned change is lost."""
    cut_in_sequence(context, 12, 1)


@test(limit=180)
def kv_power_cuts_of_small_values(context):
    """The same for values in a log, the last of which become files."""
    cut_in_sequence(context, 16, 2, work="small", least=10)


@test(limit=180)
def kv_power_cuts_of_both_kinds(context):
    """The same for values that become large and small in turn."""
    cut_in_sequence(context, 12, 2, work="mixed", least=10)


@in_every_form(forms=FORMS[:2], limit=120)
def kv_killed(context, form):
    """A program is killed in the middle of its changes, five times and until they have also cleaned
    the log: each value comes from the last change that had returned, or the next; what was removed
    is gone."""
    rng = random.Random(form)
    disk, copy = context.memory_path("kill.img"), context.memory_path("copy.img")
    fresh(context, disk)
    options = ["--disk", f"data={disk}", "--mount", "/data=ext4:data"]
    keys, kills, cleaned = {"value": "set", "both": "both", "gone": "moved"}, 0, False
    while kills < 5 or not cleaned:
        kills += 1
        child = context.soil(PROGRAM, form, "count", options=options)
        child.wait_line("count 1")
        time.sleep(rng.uniform(0.2, 1.5))
        os.kill(machine_pid(child), signal.SIGKILL)
        child.finish()
        last = newest(child, "count")
        allowed = {"set": {last, last + 1}, "both": {last, last + 1}, "moved": {0, last + 1}}
        context.run("cp", "--sparse=always", disk, copy)
        context.run("e2fsck", "-E", "journal_only", "-y", copy, check=False)
        context.run("e2fsck", "-fn", copy)
        check(stored(context, copy, keys), allowed, f"killed after {last}")
        found = replayed_by_soil(context, disk, keys, range(last, last + 2))
        check(found, allowed, f"killed after {last}, by Soil")
        segments = [name for name in os.listdir(context.path("stored/store")) if SEGMENT in name]
        cleaned = cleaned or f"{SEGMENT}1" not in segments


@test(limit=180)
def kv_power_cuts_of_many_tasks(context):
    """Each of eight tasks finds its value as if it were alone, though they share their syncs."""
    cut_in_tasks(context, 4, 8, 1)


@test(limit=120)
def kv_no_flush_succeeds(context):
    """A disk whose flushes all fail: each of sixteen tasks that share a sync has its error."""
    options = ["--disk", f"data={fat_disk(context)}", "--qemu", faulty.failing_flush(context)]
    status, output = outcome(
        context.soil(PROGRAM, "microvm", "try", "16", options=options), context
    )
    failed = [line for line in output.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 16 and "set" not in output.splitlines(), (status, output)


@in_every_form(forms=FORMS[:2])
def kv_replaces_links(context, form):
    """A symbolic link in the place of a value is replaced, and its target stays; a directory is an
    error."""
    disk = context.memory_path("links.img")
    fresh(context, disk)
    options = ["--disk", f"data={disk}", "--mount", "/data=ext4:data"]
    status, output = outcome(context.soil(PROGRAM, form, "links", options=options), context)
    lines = output.splitlines()
    assert status == 0 and "mine, untouched" in lines, (status, output)
    assert "/directory: a dictionary, not a value" in lines, output
    context.run("e2fsck", "-fn", disk)
    assert stored(context, disk, ["link"]) == [b"mine"], "the disk has another value"


@test(limit=1200, long=True)
def kv_power_cuts_often(context):
    """Thousands of cuts."""
    cut_in_sequence(context, 60, 2)


@test(limit=180)
def kv_without_a_journal(context):
    """The control: without the journal the same cuts lose values, even after all of e2fsck's
    repairs."""
    try:
        cut_in_sequence(context, 12, 2, journal=False)
    except AssertionError as found:
        assert "had begun" in str(found), found
        return
    raise AssertionError("without a journal nothing was found wrong, so the test sees nothing")
