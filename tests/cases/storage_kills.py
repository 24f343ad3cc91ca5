"""The real power cut that a host can make: QEMU killed at random while a program writes to ext4
durably.

After each kill and e2fsck's replay of the journal, `e2fsck -fn` finds nothing, and all synced data
is present. The same holds once Soil has replayed it, and where Soil and a Linux guest are killed in
turn, each starting on the other's disk. With cache=unsafe QEMU ignores the guest's flushes; written
data stays in the host's page cache, since the host survives.
"""

import hashlib
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time

from cases.network import machine_pid
from harness import faulty
from harness.context import REFERENCE, ROOT, Skip, executable, outcome
from harness.runner import test

PROGRAM = "tests/programs/storage/kill_work.exe"
LINUX = "tests/programs/peer/kill_linux.exe"
FEW, MANY = 4, 50
BLOCK, BLOCKS = 4096, 64
MIB = 1 << 20


def contents(number):
    """The contents that kill_work.ml writes to its file of this number."""
    return bytes((number * 31 + i) & 255 for i in range(number * 977 % 9000))


def fresh(context, path, block=4096):
    with open(path, "wb") as file:
        file.truncate(48 * MIB)
    context.run("mkfs.ext4", "-q", "-b", block, "-J", f"size={block // 1024}", path)


def machine(context, disk, cache, words=("until", "100000"), form="microvm", qemu=None):
    """The program in QEMU, or the wrapper `qemu` of it, writing to `disk`."""
    options = ["--disk", f"data={disk}", "--mount", "/data=ext4:data"]
    if cache == "unsafe":
        qemu = faulty.forgetful(context)
    if qemu:
        options += ["--qemu", qemu]
    return context.soil(PROGRAM, form, *words, options=options)


def files_of(context, disk):
    """The files of an ext4 disk, read by debugfs: path to contents."""
    with tempfile.TemporaryDirectory(dir=context.directory) as directory:
        context.run("debugfs", "-R", f"rdump / {directory}", disk)
        found = {}
        for folder, _, names in os.walk(directory):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, directory)] = file.read()
        return found


def check(found, last, durable):
    """All of step `last` and those before is present; of the next one, everything `durable` and
    possibly more; and nothing else."""
    log = found["log"].decode().splitlines()
    reached = len(log)
    assert last <= reached <= last + 1, f"the log ends with {log[-1:]}, synced was {last}"
    assert log == [f"line {n}" for n in range(1, reached + 1)], f"the log after {last}: {log[-9:]}"
    for number in range(max(1, last - 6), last + 1):
        assert found[f"files/{number:05d}.bin"] == contents(number), (
            f"file {number} of {last} is lost"
        )
    started = found.get(f"files/{last + 1:05d}.bin", b"")
    assert contents(last + 1).startswith(started), (
        f"file {last + 1} has bytes that were never written there"
    )
    if durable % 2 == 0:
        assert found[f"files/{durable:05d}.bin"] == contents(durable), (
            f"file {durable}, which was synced alone, is lost"
        )
    current = found["current"]
    assert current in (contents(last), contents(last + 1)), (
        f"the current file after {last}: {len(current)} bytes {current[:20]}, and not "
        f"{len(contents(last))} or {len(contents(last + 1))}"
    )
    blocks = found["blocks"]
    for place in range(BLOCKS):
        newest = durable - (durable - place) % BLOCKS
        allowed = {newest} | ({last + 1} if place == (last + 1) % BLOCKS else set())
        found_there = blocks[place * BLOCK : (place + 1) * BLOCK]
        assert newest <= 0 or found_there in (b"%015d\n" % n * (BLOCK // 16) for n in allowed), (
            f"block {place} after {last}"
        )


def replayed_by_soil(context, disk, last, durable):
    """Soil mounts the disk as the kill left it: the same conditions, after its own replay."""
    options = ["--disk", f"data={disk}", "--mount", "/data=ext4:data"]
    status, output = outcome(context.soil(PROGRAM, REFERENCE, "sums", options=options), context)
    assert status == 0, output
    context.run("e2fsck", "-fn", disk)
    found = files_of(context, disk)
    check(found, last, durable)
    ours = dict(reversed(line.split(" ", 1)) for line in output.splitlines() if " /data/" in line)
    assert ours == {
        f"/data/{path}": hashlib.md5(data).hexdigest() for path, data in found.items()
    }, output


def newest(child, word):
    """The number of the last whole line with this word: the kill may cut one off."""
    whole = (re.fullmatch(rf"{word} (\d+)", line) for _, line in child.lines)
    return max(int(match[1]) for match in whole if match)


def kill(context, cache, kills, block=4096, **where):
    rng = random.Random(kills)
    template = context.path("fresh.img")
    fresh(context, template, block)
    steps = 0
    # In the build's directory, since /tmp may be in memory, which lacks direct transfers.
    with tempfile.TemporaryDirectory(dir=os.path.join(ROOT, "target"), prefix="kill-") as directory:
        disk, copy = os.path.join(directory, "disk.img"), os.path.join(directory, "copy.img")
        for _ in range(kills):
            shutil.copyfile(template, disk)
            child = machine(context, disk, cache, **where)
            child.wait_line("synced 1")
            time.sleep(rng.uniform(0.0, 0.6))
            # Of QEMU alone: `soil run` passes on what the program wrote before.
            os.kill(machine_pid(child), signal.SIGKILL)
            child.finish()
            last, durable = (newest(child, word) for word in ("synced", "durable"))
            steps += last
            shutil.copyfile(disk, copy)
            context.run("e2fsck", "-E", "journal_only", "-y", disk, check=False)
            context.run("e2fsck", "-fn", disk)
            check(files_of(context, disk), last, durable)
            replayed_by_soil(context, copy, last, durable)
    print(f"cache={cache}: {kills} kills after {steps} synced steps")


# With both of QEMU's ways and the smallest blocks, a few kills and many.
SHOWS = (
    "QEMU is killed while a program writes and syncs: what was synced is there, and e2fsck agrees."
)
for each, block, suffix in (
    ("none", 4096, ""),
    ("unsafe", 4096, "-unsafe"),
    ("none", 1024, "-1k"),
    ("unsafe", 1024, "-1k-unsafe"),
):
    if block == 4096:
        test(name=f"killed-ext4{suffix}", limit=120, shows=SHOWS)(
            lambda context, cache=each: kill(context, cache, FEW)
        )
    test(name=f"killed-ext4{suffix}-often", limit=1200, long=True, shows=SHOWS)(
        lambda context, cache=each, block=block: kill(context, cache, MANY, block)
    )


def linux(context, disk, words):
    """The same steps by a Linux guest."""
    sys.path.insert(0, os.path.join(ROOT, "bench"))
    import peer
    import qemu

    if not os.path.exists(peer.work("vmlinux")):
        raise Skip("the Linux guest's kernel could not be fetched (see the start of this output)")
    modules = peer.TRANSPORT["q35"] + peer.DISK
    archive = peer.initramfs("kill", modules, executable(LINUX, REFERENCE))
    options = [
        "DEV=1",
        "MODS=" + ",".join(modules),
        "MNTS=vda:ext4",
        "RUN=" + ",".join(["/app", *words]),
    ]
    return context.child(
        qemu.command(
            peer.kernel()[0],
            peer.command_line(options),
            machine="q35",
            disk=disk,
            initrd=archive,
            cache="unsafe",
        )
    )


def seen(child, root):
    """The files that the program reported: path to digest."""
    lines = (line.split(" ", 1) for _, line in child.lines)
    return {
        words[1].removeprefix(root): words[0]
        for words in lines
        if len(words) == 2 and words[1].startswith(root)
    }


def in_turns(context, block, turns):
    """Soil and Linux are killed in turn. Each one's own replay gives the same result as e2fsck's
    replay of a copy, which has everything that the other had synced."""
    rng = random.Random(block)
    with tempfile.TemporaryDirectory(dir=os.path.join(ROOT, "target"), prefix="kill-") as directory:
        disk, copy = os.path.join(directory, "disk.img"), os.path.join(directory, "copy.img")
        fresh(context, disk, block)
        left, last, replays = None, 0, 0
        for turn in range(turns + 1):
            by_linux = turn % 2 == 1
            words = ["both", "100000"] if turn < turns else ["sums"]
            child = (
                linux(context, disk, words) if by_linux else machine(context, disk, "unsafe", words)
            )
            if turn < turns:
                # One step is repeated, which a kill may have left half done.
                child.wait_line(f"synced {last + 2}")
                time.sleep(rng.uniform(0.0, 0.5))
                os.kill(machine_pid(child), signal.SIGKILL)
            child.finish()
            if left is not None:
                found = seen(child, "/mnt/vda/" if by_linux else "/data/")
                assert found == left, (
                    f"turn {turn}: {sorted({*found.items()} ^ {*left.items()})[:6]}"
                )
            if turn == turns:
                break
            last, durable = (newest(child, word) for word in ("synced", "durable"))
            shutil.copyfile(disk, copy)
            with open(copy, "rb") as file:
                # The flag needs_recovery of s_feature_incompat: the journal has data not yet in its
                # place.
                replays += file.read(1024 + 100)[-4] & 4 != 0
            context.run("e2fsck", "-E", "journal_only", "-y", copy, check=False)
            context.run("e2fsck", "-fn", copy)
            files = files_of(context, copy)
            try:
                check(files, last, durable)
            except AssertionError as found:
                raise AssertionError(
                    f"turn {turn}, killed: {'Linux' if by_linux else 'Soil'}: {found}"
                ) from found
            left = {path: hashlib.md5(data).hexdigest() for path, data in files.items()}
        context.run("e2fsck", "-fn", disk)
    print(f"{block}: {turns} turns, {last} steps, {replays} replays")
    assert replays == turns, f"{replays} of {turns} kills left a journal to replay"


TURNS = "Soil and Linux write one volume in turns and are killed: each replays what the other left."
for block in (1024, 4096):
    test(name=f"killed-in-turns-with-linux-{block}", limit=240, shows=TURNS)(
        lambda context, block=block: in_turns(context, block, 3)
    )
    test(name=f"killed-in-turns-with-linux-{block}-often", limit=1200, long=True, shows=TURNS)(
        lambda context, block=block: in_turns(context, block, 16)
    )
