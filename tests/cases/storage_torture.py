"""`Soil.Fs` under random work and the cases of file-system test suites, on FAT and all variants of
mkfs.ext4, in both forms.

The program compares the volume with its model; the disk's own checker, debugfs and mtools compare
it from outside.
"""

import hashlib
import os
import random
import tempfile

from cases.storage_kv import entries, recorded
from harness.context import MACHINES, outcome
from harness.runner import test

TORTURE = "tests/programs/storage/torture.exe"
CASES = "tests/programs/storage/fs_cases.exe"
MIB = 1 << 20
# By the disk's name: file system, MiB, options of its mkfs.
DISKS = {
    "fat16": ("fat", 24, ["-F", "16", "-s", "4"]),
    "fat32": ("fat", 40, ["-F", "32", "-s", "1"]),
    "ext1k": ("ext4", 24, ["-b", "1024", "-N", "8000", "-J", "size=1"]),
    "ext2k": ("ext4", 24, ["-b", "2048", "-N", "8000", "-J", "size=2"]),
    "ext4k": ("ext4", 32, ["-b", "4096", "-N", "8000", "-J", "size=4"]),
    "nosums": ("ext4", 24, ["-b", "1024", "-N", "8000", "-O", "^metadata_csum", "-J", "size=1"]),
    "nolog": ("ext4", 32, ["-b", "4096", "-N", "8000", "-O", "^has_journal"]),
    "old": ("ext4", 24, ["-b", "4096", "-N", "8000", "-O", "^64bit,^flex_bg", "-J", "size=4"]),
}
# `tasks` in torture.ml, for each disk.
TASKS = 3


def make(context, names, place=None):
    """New disks; the path of each, by `place` (`context.path` if none is given)."""
    disks = {}
    for name in names:
        kind, size, options = DISKS[name]
        disks[name] = (place or context.path)(name + ".img")
        with open(disks[name], "wb") as file:
            file.truncate(size * MIB)
        quiet = [] if kind == "fat" else ["-q"]
        context.run("mkfs." + ("fat" if kind == "fat" else "ext4"), *quiet, *options, disks[name])
    return disks


def run(context, form, program, words, disks):
    """The output of the program, which mounts the disks itself."""
    options = ["--mem", "256M"] if form != "process" else []
    options += [word for name, path in disks.items() for word in ("--disk", f"{name}={path}")]
    sources = [f"{DISKS[name][0]}:{name}" for name in disks]
    status, output = outcome(
        context.soil(program, form, *map(str, words), *sources, options=options), context
    )
    wrong = [line for line in output.splitlines() if line.startswith(("wrong", "mismatch"))]
    assert status == 0 and not wrong, "\n".join(wrong or output.splitlines()[-20:])
    return output


def check(context, name, path):
    """The disk's own checker finds nothing."""
    words = ("fsck.fat", "-n") if DISKS[name][0] == "fat" else ("e2fsck", "-fn")
    done = context.run(*words, path, check=False)
    text = done.stdout + done.stderr
    assert done.returncode == 0 and "skipping journal recovery" not in text, f"{name}: {text}"


def digest(path):
    with open(path, "rb") as file:
        return hashlib.md5(file.read()).hexdigest()


def read_outside(context, name, path, lines):
    """Checks that debugfs or mtools read the same as the program's lines ("file DIGEST NAMES PATH"
    and so on), and returns the number of files."""
    files = {}
    with tempfile.TemporaryDirectory(dir=context.directory) as directory:
        if DISKS[name][0] == "ext4":
            context.run("debugfs", "-R", f"rdump / {directory}", path)
            found = {}
            for folder, folders, names in os.walk(directory):
                for each in folders + names:
                    inside = os.path.join(folder, each)
                    at = inside.removeprefix(directory)
                    if os.path.islink(inside):
                        found[at] = ("link", os.readlink(inside))
                    elif os.path.isdir(inside):
                        found[at] = ("directory",)
                    else:
                        found[at] = ("file", digest(inside))
            wanted = {}
            for line in lines:
                word, rest = line.split(" ", 1)
                if word == "file":
                    sum_, _, at = rest.split(" ", 2)
                    wanted[at] = files[at] = (word, sum_)
                elif word == "link":
                    at, target = rest.rsplit(" to ", 1)
                    wanted[at] = (word, target)
                else:
                    wanted[rest] = (word,)
            found = {
                at: what
                for at, what in found.items()
                if at.count("/") > 1 and not at.startswith("/lost+found")
            }
            different = [at for at in {*wanted, *found} if wanted.get(at) != found.get(at)]
            assert not different, f"{name}: {len(different)} of {len(wanted)}: " + "\n".join(
                f"{at}: {found.get(at)}, should be {wanted.get(at)}" for at in different[:9]
            )
        else:
            # mtools reads a non-ASCII name according to its locale.
            for line in [line for line in lines if line.startswith("file ") and line.isascii()][
                ::3
            ]:
                _, sum_, _, at = line.split(" ", 3)
                files[at] = sum_
                copy = os.path.join(directory, "copy")
                context.run("mcopy", "-n", "-o", "-i", path, "::" + at, copy)
                assert digest(copy) == sum_, f"{name}: {at}"
    return len(files)


def torture(context, form, disks, seed, rounds, steps, flags, was=None):
    """Works on all disks at once, then checks each from outside. Returns the number of operations
    and the digest of each disk's tree."""
    output = run(context, form, TORTURE, [seed, rounds, steps, flags], disks)
    lines = output.splitlines()
    operations = int(lines[-1].removeprefix("done "))
    digests = {}
    for name, path in disks.items():
        own = [line.removeprefix(name + " ") for line in lines if line.startswith(name + " ")]
        assert own[0].startswith("was ") and own[-1].startswith("is "), own[:1] + own[-1:]
        digests[name] = own[-1].split()[1].rstrip(",")
        assert was is None or own[0].split()[1] == was[name], (
            f"{name} has changed since the last run"
        )
        check(context, name, path)
        read = read_outside(context, name, path, own[1:-1])
        assert read and len(own) > 30, f"{name}: {read} files of {len(own)} lines"
    return operations, digests


def again(context, form, steps, crowd):
    """Two runs, the second on the disks of the first. The number of operations that a crowd and a
    full volume add depends on the order of the tasks; each task of a disk does its own steps."""
    disks = make(context, DISKS)
    rounds = 2
    first, digests = torture(context, form, disks, 1, rounds, steps, f"fill,crowd={crowd}")
    second, _ = torture(context, form, disks, 2, rounds, steps, "-", was=digests)
    print(f"{first + second} operations")
    least = 2 * rounds * steps * TASKS * len(DISKS)
    assert first + second >= least, f"{first + second} operations, not {least}"


RANDOM = "Random operations of several tasks on every format; a model and the disks agree."
test(name="random-work-process", limit=240, shows=RANDOM)(
    lambda context: again(context, "process", 80, 150)
)
test(name=f"random-work-{MACHINES[-1]}", limit=240, shows=RANDOM)(
    lambda context: again(context, MACHINES[-1], 25, 50)
)


@test(limit=7200, long=True)
def random_work_a_million_times(context):
    """A million operations, checked from outside after each thousand on a disk; every tenth run in
    the image."""
    disks = make(context, DISKS)
    total, runs, digests = 0, 0, None
    while total < 1_000_000:
        form = MACHINES[-1] if runs % 10 == 9 else "process"
        flags = "crowd=2000" if runs % 20 == 5 else "fill" if runs % 20 == 15 else "-"
        done, digests = torture(
            context,
            form,
            disks,
            1000 + runs,
            1 + runs % 2,
            333 // (1 + runs % 2),
            flags,
            was=digests,
        )
        total, runs = total + done, runs + 1
        print(f"{runs} runs, {total} operations", flush=True)


def replayed_at_flushes(context, name, points):
    """The disk of random work at each of `points` flushes, with none of the later writes and with
    half of them: after the journal's replay nothing needs repair."""
    rng = random.Random(name)
    # In memory: each replay syncs the disk, which takes a busy host seconds.
    disk, start, log = (
        make(context, [name], context.memory_path)[name],
        context.memory_path("start.img"),
        context.memory_path("writes.log"),
    )
    os.rename(disk, start)
    context.run("cp", "--sparse=always", start, disk)
    recorded(context, disk, log, TORTURE, [5, 2, 80, "crowd=100", f"ext4:{name}"], name=name)
    requests = list(entries(log))
    flushes = [at for at, request in enumerate(requests) if request is None]
    chosen = set(rng.sample(flushes, min(points, len(flushes))))
    with open(start, "rb") as file:
        image = bytearray(file.read())
    replays = 0

    def verify(kept):
        nonlocal replays
        with open(disk, "wb") as file:
            file.write(image)
            for at, data in kept:
                file.seek(at)
                file.write(data)
        done = context.run("e2fsck", "-E", "journal_only", "-y", disk, check=False)
        replays += "recovering journal" in done.stdout
        context.run("e2fsck", "-fn", disk)

    for at, request in enumerate(requests):
        if request:
            place, data = request
            image[place : place + len(data)] = data
        if at in chosen:
            verify([])
            end = next((flush for flush in flushes if flush > at), len(requests))
            verify([each for each in requests[at + 1 : end] if rng.random() < 0.5])
    print(f"{len(flushes)} flushes, {2 * len(chosen)} points, {replays} replays")
    assert len(chosen) >= points // 2 and replays >= len(chosen), (
        f"{len(flushes)} flushes, {replays} replays at {len(chosen)}"
    )


for each in ("ext1k", "ext4k"):
    test(
        name=f"replayed-at-flushes-{each}",
        limit=120,
        shows="The log of writes, cut at flushes and between them: e2fsck finds nothing after a replay.",
    )(lambda context, name=each: replayed_at_flushes(context, name, 20))


@test(limit=120)
def flushes_without_a_journal(context):
    """The control: without the journal the same points need repairs."""
    try:
        replayed_at_flushes(context, "nolog", 20)
    except AssertionError as found:
        assert "e2fsck -fn" in str(found), found
        return
    raise AssertionError("without a journal nothing was found wrong, so the test sees nothing")


def cases(context, form, scale, names=DISKS):
    disks = make(context, names)
    output = run(context, form, CASES, [scale], disks)
    for name, path in disks.items():
        own = [line for line in output.splitlines() if line.startswith(f"ok {name} ")]
        assert len(own) == 21, own
        check(context, name, path)


CASES_SHOW = "Cases written from xfstests' descriptions, on every format."
for each, names in (("process", DISKS), (MACHINES[-1], ["fat16", "ext1k", "ext4k"])):
    test(name=f"cases-{each}", limit=240, shows=CASES_SHOW)(
        lambda context, form=each, names=names: cases(context, form, 1, names)
    )
    test(name=f"cases-{each}-larger", limit=1800, long=True, shows=CASES_SHOW)(
        lambda context, form=each: cases(context, form, 10)
    )
