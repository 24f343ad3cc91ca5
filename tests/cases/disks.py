"""Disks that are missing, wrong, full or damaged, or whose machine is killed: one clear line, and
no damage."""

import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

from cases.faults import fails_with
from cases.network import machine_pid
from cases.tasks import fat_disk
from harness.console import resident_kib
from harness.context import FORMS, MACHINES, REFERENCE, ROOT, Skip, executable, outcome
from harness.runner import test

WORK = "tests/programs/soil/disk_work.exe"
KILLS, LEAST_KILLS = 50, 10
# QEMU offers flushes also where the guest may enable the cache.
NO_FLUSH = ["--device-option", "blk:write-cache=off", "--device-option", "blk:config-wce=off"]


def work(context, form, disk, *words):
    return context.soil(WORK, form, *words, options=["--disk", f"data={disk}"])


def contents(number):
    """The contents that disk_work.ml writes to its file of this number."""
    return bytes((number * 31 + i) & 255 for i in range(number * 977 % 9000))


def written(context, name, data):
    path = context.path(name)
    with open(path, "wb") as file:
        file.write(data)
    return path


def with_signature(data, size=1 << 20):
    return data.ljust(510, b"\0") + b"\x55\xaa" + b"\1" * (size - 512)


@test(limit=180)
def not_fat(context):
    """Each disk that isn't FAT: the error names its kind and the remedy."""
    table = bytes(446) + bytes([0x80, 1, 1, 0, 12, 0, 0, 0, 0, 8, 0, 0, 0, 4, 0, 0])
    ext4 = bytearray(1 << 20)
    ext4[1080:1082] = b"\x53\xef"
    whole = fat_disk(context, "whole.img", 16 << 20)
    with open(whole, "rb") as file:
        start = file.read(4 << 20)
    for name, data, texts in (
        ("blank", bytes(1 << 20), ("blank", "mkfs.fat")),
        ("junk", b"\1" * (1 << 20), ("boot sector signature missing", "mkfs.fat")),
        ("table", with_signature(table), ("MBR partition table", "mkfs.fat")),
        ("ntfs", with_signature(b"\xeb\x52\x90NTFS    "), ("NTFS", "mkfs.fat")),
        ("ext4", bytes(ext4), ("no ext4", "soil.ext4", "libraries")),
        ("truncated", start, ("truncated", "restore")),
    ):
        disk = written(context, name, data)
        for form in FORMS if name in ("blank", "truncated") else FORMS[:2]:
            output = fails_with(
                context, work(context, form, disk, "read", "/data/x"), "data", *texts
            )
            naming = [line for line in output.splitlines() if "disk data" in line]
            assert "panic" not in output and len(naming) == 1, output
        with open(disk, "rb") as file:
            assert file.read() == data, f"{name} was written to"


@test(limit=180)
def full(context):
    """A full disk: the write fails, nothing is lost, and the disk is clean afterwards."""
    for form in FORMS:
        disk = fat_disk(context, size=4 << 20)
        output = fails_with(
            context,
            work(context, form, disk, "fill"),
            'kept: "kept"',
            "no space",
            'again: "room again"',
        )
        assert "a directory on a full disk" not in output, output
        context.run("fsck.fat", "-n", disk)
        os.unlink(disk)


@test(limit=120)
def names_that_do_not_fit(context):
    """FAT refuses a name with a forbidden letter or of 300 letters, and gives the reason."""
    disk = fat_disk(context, size=4 << 20)
    for form in FORMS:
        for name, text in (("what?", "name"), ("n" * 300, "too long")):
            fails_with(context, work(context, form, disk, "write", f"/data/{name}", "x"), text)
        context.run("fsck.fat", "-n", disk)


@test(limit=120)
def corrupted_table(context):
    """A file whose cluster chain leads to a free cluster: an error that names it, the rest reads,
    nothing is written."""
    disk = fat_disk(context, size=32 << 20)
    source = written(context, "source", bytes(range(256)) * 256)
    for name in ("BROKEN.BIN", "GOOD.BIN"):
        context.run("mcopy", "-i", disk, source, f"::/{name}")
    with open(disk, "r+b") as file:
        boot = file.read(64)
        sector, per_cluster, reserved = struct.unpack_from("<HBH", boot, 11)
        copies, size = boot[16], struct.unpack_from("<H", boot, 22)[0]
        for copy in range(copies):
            file.seek((reserved + copy * size) * sector + 5 * 2)
            file.write(b"\0\0")
    assert per_cluster * sector * 5 < 65536, "the damage is outside the file"
    with open(disk, "rb") as file:
        before = file.read()
    for form in FORMS:
        fails_with(
            context, work(context, form, disk, "read", "/data/broken.bin"), "corrupt", "fsck.fat"
        )
        status, output = outcome(work(context, form, disk, "read", "/data/good.bin"), context)
        assert status == 0 and "65536 bytes" in output, output
        with open(disk, "rb") as file:
            assert file.read() == before, f"{form} wrote to a corrupt disk"


def last_synced(child):
    numbers = [line.split()[-1] for _, line in child.lines if line.startswith("synced ")]
    return int(numbers[-1]) if numbers else 0


def check_synced(context, disk, last, repaired):
    """Every file up to `last` is present. The machine may have written more than it reported."""

    def read(name):
        got = context.path("got")
        done = context.run("mcopy", "-n", "-o", "-i", disk, f"::/{name}", got, check=False)
        if done.returncode != 0:
            return None
        with open(got, "rb") as file:
            return file.read()

    log = read("log").decode().splitlines()
    reached = len(log)
    assert reached >= last and log == [f"line {n}" for n in range(1, reached + 1)], (
        f"the log after {last}: {log[-3:]}"
    )
    for number in range(max(1, reached - 7), last + 1):
        assert read(f"{number:05d}.bin") == contents(number), f"file {number} of {last} was lost"
    current = read("current")
    known = {contents(n): n for n in range(reached + 2)}
    # Two names for one file, in the middle of a rename: `fsck.fat -a` empties one.
    assert current in (contents(reached - 1), contents(reached)) or repaired, (
        f"the current file after {last} of {reached}: {known.get(current, current)}"
    )


def leave_cache(path):
    """Drops a file from Linux's page cache. A direct write to a page under writeback may become a
    buffered one, which a kill cuts short: no disk does that."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def kill_while_writing(context, form, kills):
    """Kills the machine repeatedly at random times; each time the disk is checked as the kill left
    it.

    Returns the number of kills, fewer where the host's flushes are slow, and the output of
    `fsck.fat -n` where the disk wasn't clean. The disk is in the build's directory, since /tmp may
    be in memory, which lacks direct transfers.
    """
    half = context.remaining() / 2
    rng = random.Random(7)
    fresh = fat_disk(context, "fresh.img", 32 << 20)
    unclean = []
    with tempfile.TemporaryDirectory(dir=os.path.join(ROOT, "target"), prefix="kill-") as directory:
        disk = os.path.join(directory, "disk.img")
        for kill in range(kills):
            if kill >= LEAST_KILLS and context.remaining() < half:
                kills = kill
                break
            shutil.copyfile(fresh, disk)
            leave_cache(disk)
            child = work(context, form, disk, "synced", "1")
            child.wait_line("synced 1")
            time.sleep(rng.uniform(0.0, 0.4))
            os.killpg(child.pid, signal.SIGKILL)
            child.finish()
            last = last_synced(child)
            done = context.run("fsck.fat", "-n", disk, check=False)
            if done.returncode != 0:
                unclean.append(f"kill {kill} after {last}: {done.stdout}")
                context.run("fsck.fat", "-a", disk, check=False)
                context.run("fsck.fat", "-n", disk)
            check_synced(context, disk, last, repaired=done.returncode != 0)
    print(f"{form}: {len(unclean)} of {kills} kills left something for fsck.fat to repair")
    return kills, unclean


@test(limit=300)
def killed_machine(context):
    """QEMU killed 50 times (with slow flushes at least 10) during synced writes: no synced data is
    lost, and the disk is clean."""
    _, unclean = kill_while_writing(context, "microvm", KILLS)
    assert not unclean, "\n".join(unclean)


@test(limit=200)
def killed_process(context):
    """The same for the process form, which passes the writes of one commit to Linux in one system
    call, past the page cache. Where the host's file system doesn't support this, no synced data is
    lost and `fsck.fat -a` repairs the rest (docs/file-systems.md)."""
    kills, unclean = kill_while_writing(context, "process", KILLS)
    # The check uses a file in the disk's own folder: another folder may be another file system, and
    # some lack unnamed files.
    with tempfile.NamedTemporaryFile(dir=os.path.join(ROOT, "target"), prefix="kill-") as file:
        try:
            os.close(os.open(file.name, os.O_RDWR | os.O_DIRECT))
            most = 0
        except OSError:
            most = kills // 5
    assert len(unclean) <= most, "\n".join(unclean)


def linux_guest(context, disk, *words):
    """The output of the benchmarks' Linux micro-VM with `disk` mounted by its own vfat."""
    sys.path.insert(0, os.path.join(ROOT, "bench"))
    import peer
    import qemu

    if not os.path.exists(peer.work("vmlinux")):
        raise Skip("the Linux guest's kernel could not be fetched (see the start of this output)")
    modules = peer.TRANSPORT["microvm"] + peer.DISK + peer.VFAT
    program = executable("tests/programs/peer/tree_linux.exe", REFERENCE)
    archive = peer.initramfs("tree", modules, program)
    command = qemu.linux(archive, modules, words, disk=disk, mount="vfat")
    return context.run(*command).stdout.replace("\r", "")


def listing(output, root):
    """The lines of `tree.ml`'s sums, with paths from the root of the disk."""
    lines = [line for line in output.splitlines() if f" {root}/" in line]
    return sorted(line.replace(f" {root}/", " ", 1) for line in lines)


@test(limit=240)
def linux_vfat_agrees(context):
    """Linux's vfat reads a tree written by Soil, Soil reads one written by vfat: names, sizes,
    contents."""
    tree = "tests/programs/soil/tree_soil.exe"
    for writer in ("microvm", "linux"):
        disk = fat_disk(context, f"{writer}.img", 64 << 20)
        option = ["--disk", f"data={disk}"]
        if writer == "linux":
            linux_guest(context, disk, "make", "/mnt")
        else:
            status, output = outcome(
                context.soil(tree, writer, "make", "/data", options=option), context
            )
            assert status == 0, output
        context.run("fsck.fat", "-n", disk)
        status, output = outcome(
            context.soil(tree, "microvm", "sums", "/data", options=option), context
        )
        assert status == 0, output
        by_soil, by_linux = (
            listing(output, "/data"),
            listing(linux_guest(context, disk, "sums", "/mnt"), "."),
        )
        assert len(by_soil) == 131, f"{len(by_soil)} entries:\n{output}"
        assert by_soil == by_linux, f"written by {writer}: {set(by_soil) ^ set(by_linux)}"


def memory_of_transfers(context, mib):
    """Bytes in use by Soil's and OCaml's counts, and resident bytes, after 64 MiB and after `mib`
    MiB through the disk, for each form."""
    for form in FORMS:
        disk = fat_disk(context, size=64 << 20)
        words = ["tests/programs/soil/churn.exe", form, str(mib)]
        child = context.soil(*words, options=["--disk", f"data={disk}"], stdin=subprocess.PIPE)
        figures = {}
        for at in (64, mib):
            _, line = child.wait_line(f"{at} MiB, in_use")
            heap, in_use = (
                int(word) for word in re.search(r"in_use (\d+), heap (\d+)", line).group(2, 1)
            )
            # For the process, memory in use is its resident memory.
            counted = heap if form == "process" else in_use
            figures[at] = counted, resident_kib(machine_pid(child)) << 10
            # The program waits for this line.
            child.process.stdin.write(b"go on\n")
            child.process.stdin.flush()
        status, output = outcome(child, context)
        assert status == 0, output
        (counted, resident), (counted_last, resident_last) = figures[64], figures[mib]
        assert counted_last <= counted * 1.01, f"{form}: in use and resident (MiB: bytes) {figures}"
        context.bound(f"{form}: resident bytes", resident_last, resident * 1.01)
        os.unlink(disk)


@test(limit=120)
def transfers_leave_nothing(context):
    """Memory doesn't grow with 192 MiB through the FAT disk."""
    memory_of_transfers(context, 192)


@test(limit=600, long=True)
def a_gibibyte_leaves_nothing(context):
    """1 GiB written to and read from the FAT disk changes memory in use by less than 1 %."""
    memory_of_transfers(context, 1024)


def behind(child, word, after):
    """The index after the next line with this word."""
    child.wait_line(word, after=after)
    return 1 + next(n for n in range(after, len(child.lines)) if word in child.lines[n][1])


def loop_mounted(context, image, directory, megabytes):
    """Creates an ext4 file system in the file `image`, and mounts it at `directory` until the end
    of the test."""
    with open(image, "wb") as file:
        file.write(bytes(megabytes << 20))
    os.mkdir(directory)
    context.run("mkfs.ext4", "-q", image)
    done = context.run("mount", "-o", "loop", image, directory, check=False)
    if done.returncode != 0:
        raise Skip(f"a loop device can't be mounted here: {done.stderr.strip()}")


@test(limit=90)
def slow_disk(context):
    """A host's disk stalls for two seconds: other tasks of the process continue, and the disk works
    afterwards. The disk is a loop device on a file system frozen for that time. The sectors are
    raw: submitting a FAT volume's commit may block with the host's file system
    (platform/README.md)."""
    below, above = context.memory_path("below"), context.memory_path("above")
    loop_mounted(context, below + ".img", below, 64)
    try:
        loop_mounted(context, os.path.join(below, "above.img"), above, 48)
        disk = os.path.join(above, "disk.img")
        with open(disk, "wb") as file:
            file.write(bytes(16 << 20))
        # Its deadline must not pass while it is frozen.
        options = ["--disk", f"data={disk}", "--env", "SOIL_DISK_TIMEOUT=600"]
        child = context.soil("tests/programs/soil/slow_disk.exe", "process", options=options)
        child.wait_line("flushed")
        context.run("fsfreeze", "-f", below)
        try:
            # Reads the earlier output first.
            child.drain(0)
            before = after = len(child.lines)
            for _ in range(25):
                after = behind(child, "tick", after)
            said = [line for _, line in child.lines[before:after]]
        finally:
            context.run("fsfreeze", "-u", below)
        # One flush may have completed unreported.
        assert sum(line.startswith("flushed") for line in said) <= 1, said
        child.wait_line("flushed", after=after)
        child.stop()
    finally:
        for directory in (above, below):
            context.run("umount", "-l", directory, check=False)


@test()
def a_disk_without_flushes(context):
    """The warning appears once, at the mount or where the sectors are opened, and is the volume's
    health; other disks and read-only ones log nothing."""
    line = "soil: warning: disk data offers no flush: a sync waits for the writes only, which are"
    for form in MACHINES:
        for options, health, said in ((NO_FLUSH, "unflushed", 1), ([], "writable", 0)):
            disk = fat_disk(context, f"{form}-{health}.img")
            options = ["--disk", f"data={disk}", "--mount", "/data=fat:data", *options]
            status, output = outcome(context.soil(WORK, form, "health", options=options), context)
            assert status == 0, f"{form}, {health}: status {status}\n{output}"
            assert output.count(line) == said and output.count("offers no flush") == said, (
                f"{form}, {health}: {output}"
            )
            kept = [text for text in output.splitlines() if " soil: " not in text]
            assert kept == [health, health], f"{form}: {output}"
            context.run("fsck.fat", "-n", disk)
        for suffix, said in (("", 1), (",ro", 0)):
            options = ["--disk", f"data={disk}{suffix}", *NO_FLUSH]
            program = "tests/programs/soil/block_work.exe"
            child = context.soil(program, form, "read", options=options)
            status, output = outcome(child, context)
            assert status == 0 and output.count(line) == said, f"{form}{suffix}: {output}"


def journal_of_revokes(context):
    """An ext4 disk of 4 GiB, sparse, whose journal of 8 MiB revokes two million blocks."""
    disk = context.path("revokes.img")
    with open(disk, "wb") as file:
        file.truncate(4 << 30)
    features = "^metadata_csum,^64bit,^resize_inode,^has_journal"
    context.run("mkfs.ext4", "-q", "-F", "-b", "1024", "-O", features, disk)
    context.run("tune2fs", "-J", "size=8", disk)
    text = context.run("debugfs", "-R", "blocks <8>", disk).stdout
    places = [int(word) * 1024 for word in text.split() if word.isdigit()]
    with open(disk, "r+b") as file:
        file.seek(places[0])
        head = bytearray(file.read(1024))
        (count,) = struct.unpack_from(">I", head, 0x10)
        (sequence,) = struct.unpack_from(">I", head, 0x18)
        struct.pack_into(">I", head, 0x1C, 1)
        file.seek(places[0])
        file.write(head)
        block = 1 << 20
        for number in range(1, count):
            kind = 2 if number + 1 == count else 5
            names = range(block, block + 252)
            block += 252
            file.seek(places[number])
            file.write(struct.pack(">256I", 0xC03B3998, kind, sequence, 1024, *names))
        file.seek(1024 + 0x60)
        (incompatible,) = file.read(1)
        file.seek(1024 + 0x60)
        file.write(bytes([incompatible | 4]))
    return disk


@test(limit=120)
def a_journal_names_millions_of_blocks(context):
    """A machine of 64 MiB mounts a disk whose journal names two million blocks, and writes to it;
    the disk stays intact."""
    disk = journal_of_revokes(context)
    program = "tests/programs/unmodified/files.exe"
    options = ["--mem", "64M", "--disk", f"ext4={disk}"]
    child = context.soil(program, "microvm", "leave", "/ext4/left", options=options)
    child.wait_line("written")
    child.signal(signal.SIGTERM)
    assert child.finish(context.remaining()) == 143, child.text
    assert context.run("debugfs", "-R", "cat left", disk).stdout == "/ext4/left"
    context.run("e2fsck", "-fn", disk)
