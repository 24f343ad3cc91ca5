"""Disks and files, the `fs_*` figures: `programs/storage.ml` on Soil, in the Linux micro-VM, and as
plain processes.

The host measures the time between the guest's lines "begin" and "end". QEMU opens disks with
cache=none; "cold" means read in a new boot.
"""

import os
import subprocess

import disks
import peer
import qemu
import quota
from boot import IMAGES, LINUX, SOIL, built, image, least
from harness.console import Timeout
from measure import Figure
from start import STARTS, said, started

MIB = 1 << 20
DISK, FILE, SMALL = disks.DISK, 128 * MIB, 8 * MIB
PEER = LINUX + "storage.exe"
IMAGE = SOIL + "storage/storage.exe"
PROCESS = IMAGE.replace(IMAGES, "_build/default/")
FILES, APPENDS, FLUSHES, SETS, REPEATS = 1000, 500, 500, 300, 32
SETS_64 = 6400
TASKS, ENTRIES, LARGE = 8, 100_000, 64 << 30
RANDOM = {"random-read/1": 5000, "random-read/32": 40000, "random-write/32": 20000}


def prepare():
    for machine, transport in peer.TRANSPORT.items():
        modules = transport + peer.DISK + peer.VFAT
        peer.initramfs("storage-" + machine, modules, built(PEER))


def fresh(name, kind, size=DISK, words=()):
    """A new file system on a sparse disk; ext4 with everything initialised that Linux would
    otherwise write in the background."""
    if kind == "vfat":
        return disks.fat_disk(name)
    path = peer.work(name + ".img")
    if os.path.exists(path):
        os.unlink(path)
    with open(path, "wb") as file:
        file.truncate(size)
    # A large one has the defaults: its inode tables would take a gigabyte.
    complete = ["-E", "lazy_itable_init=0,lazy_journal_init=0"] if size <= DISK else []
    subprocess.run(["mkfs.ext4", "-q", *complete, *words, path], check=True, capture_output=True)
    return path


def copy(path, name):
    """A separate disk with the same contents."""
    to = peer.work(name + ".img")
    subprocess.run(["cp", "--sparse=always", path, to], check=True)
    return to


def results(command, timeout=120, env=None, starts=STARTS):
    """Seconds between each "begin" and "end", and the guest's own values, in order."""
    found = []
    with started(command, said("begin", timeout), starts, env=env) as (child, _):
        child.finish(timeout)
        for at, line in child.lines:
            if line == "begin":
                begin = at
            elif line == "end":
                found.append(at - begin)
            elif line.startswith("value "):
                found.append(float(line.split()[1]))
        text = child.text
    if not found:
        raise RuntimeError(f"no results; the output:\n{text}")
    return found


class Pair:
    """Soil's image and the Linux guest, on separate disks with the same file system (none: the
    whole disk)."""

    def __init__(self, options, kind=None, environment=()):
        self.machine, self.kind, self.environment = options.machine, kind, environment
        self.program = image(IMAGE)
        self.disks = None

    def format(self):
        self.disks = [fresh(f"{self.kind}-{side}", self.kind) for side in ("soil", "linux")]

    def commands(self, works, mem=256):
        modules = (
            peer.TRANSPORT[self.machine] + peer.DISK + (peer.VFAT if self.kind == "vfat" else [])
        )
        archive = peer.work(f"storage-{self.machine}.cpio")
        ours, theirs = self.disks or [disks.random_disk()] * 2
        return (
            qemu.soil(
                self.program, works, self.machine, mem, disk=ours, environment=self.environment
            ),
            qemu.linux(archive, modules, works, self.machine, mem, disk=theirs, mount=self.kind),
        )

    def run(self, *works):
        """A boot of each; returns pairs of results."""
        ours, theirs = (results(command) for command in self.commands(works))
        return list(zip(ours, theirs, strict=True))


def rate(figure, amount, seconds):
    """Adds amounts per second."""
    figure.add(*(amount / each for each in seconds))


def raw_figures(prefix, suffix=""):
    """The figures of a disk without file system, in the order of `raw_works`."""
    return [
        Figure(prefix + "blk_seq_read_mibs" + suffix, "MiB/s", "higher"),
        Figure(prefix + "blk_seq_write_mibs" + suffix, "MiB/s", "higher"),
        Figure(prefix + "blk_rand_read_iops_qd1" + suffix, "reads/s", "higher"),
        Figure(prefix + "blk_rand_read_iops_qd32" + suffix, "reads/s", "higher"),
        Figure(prefix + "blk_rand_write_iops_qd32" + suffix, "writes/s", "higher"),
    ]


def raw_works():
    sequential = [f"sequential-read/{DISK}", f"sequential-write/{DISK}"]
    return sequential + [f"{kind}/{count}/{DISK}" for kind, count in RANDOM.items()]


def add_raw(figures, seconds):
    amounts = [DISK / MIB, DISK / MIB, *RANDOM.values()]
    for figure, amount, each in zip(figures, amounts, seconds):
        rate(figure, amount, each)


def raw(options):
    """The whole disk: 1 MiB pieces in sequence, 4 KiB pieces at random, flushes after a written
    block."""
    figures = raw_figures("fs_")
    flush = Figure("fs_flush_us_p50", "us", "lower")
    pair = Pair(options)
    for _ in range(options.pairs):
        *seconds, latency = pair.run(*raw_works(), f"flushes/{FLUSHES}")
        add_raw(figures, seconds)
        flush.add(*latency)
    return [*figures, flush]


def volume(options, kind, name, environment=()):
    """A fresh file system: a large file and many small ones written, then all read in a new
    boot."""
    write = Figure(f"fs_{name}_write_mibs", "MiB/s", "higher")
    read = Figure(f"fs_{name}_read_mibs", "MiB/s", "higher")
    create = Figure(f"fs_{name}_create_per_s", "files/s", "higher")
    append = Figure(f"fs_{name}_fsync_append_per_s", "appends/s", "higher")
    in_cache = "fs_cached" if kind == "vfat" else f"fs_{name}_cached"
    cached = Figure(in_cache + "_read_gibs", "GiB/s", "higher")
    copied = Figure(in_cache + "_copy_gibs", "GiB/s", "higher")
    share = Figure(f"fs_{name}_read_percent_of_raw", "% of the raw read", "higher")
    rename = Figure(f"fs_{name}_rename_per_s", "files/s", "higher")
    unlink = Figure(f"fs_{name}_unlink_per_s", "files/s", "higher")
    together = Figure(f"fs_{name}_fsync_{TASKS}_per_s", "appends/s", "higher")
    pair = Pair(options, kind, environment)
    for _ in range(options.pairs):
        pair.format()
        written = pair.run(
            f"write/file/{FILE}", f"create/{FILES}", f"append/log/{APPENDS}", f"write/small/{SMALL}"
        )
        rate(write, FILE / MIB, written[0])
        rate(create, FILES, written[1])
        rate(append, APPENDS, written[2])
        if kind == "ext4":
            works = (
                f"rename/{FILES}",
                f"unlink/{FILES}",
                f"append-together/{TASKS}/{APPENDS // TASKS}",
            )
            renamed, unlinked, appended = pair.run(*works)
            rate(rename, FILES, renamed)
            rate(unlink, FILES, unlinked)
            rate(together, APPENDS // TASKS * TASKS, appended)
        reads = [f"read-again/{how}/small/{REPEATS}" for how in ("in-place", "copied")]
        cold, copies, *looked = pair.run("read/file", f"copy-again/small/{REPEATS}", *reads)
        rate(read, FILE / MIB, cold)
        rate(copied, SMALL * REPEATS / (1024 * MIB), copies)
        # Each side uses its own faster way.
        rate(cached, SMALL * REPEATS / (1024 * MIB), [min(ways) for ways in zip(*looked)])
        # The same pieces of 1 MiB from the disk and from the file.
        plain, whole = (
            pair.run(f"sequential-read/{FILE}", "read-large/file")
            if kind == "vfat"
            else (None, None)
        )
        if plain:
            share.add(*(100 * a / b for a, b in zip(plain, whole)))
    figures = read, write, create, append, cached, copied, share, rename, unlink, together
    return [figure for figure in figures if figure.runs]


def fat(options):
    return volume(options, "vfat", "fat")


def ext4(options):
    return volume(options, "ext4", "ext4")


def directory(options):
    """The names of a directory of 100,000 entries, in a new boot. Linux creates it once, and each
    side reads a copy."""
    figure = Figure("fs_ext4_dir_100k_list_ms", "ms", "lower")
    original = peer.work("directory.img")
    pair = Pair(options, "ext4")
    if not os.path.exists(original):
        made = fresh("directory-new", "ext4", words=("-N", str(ENTRIES + 1000)))
        pair.disks = [made, made]
        results(pair.commands([f"fill/many/{ENTRIES}"])[1], timeout=600)
        os.rename(made, original)
    for _ in range(options.pairs):
        pair.disks = [copy(original, f"directory-{side}") for side in ("soil", "linux")]
        figure.add(*(1000 * seconds for seconds in pair.run(f"list/many/{ENTRIES}")[0]))
    return [figure]


def mount(options):
    """A sparse volume of 64 GiB, as mkfs.ext4 makes it, mounted by the program, and its root
    read."""
    figure = Figure("fs_ext4_mount_64g_ms", "ms", "lower")
    pair = Pair(options, environment=["SOIL_MOUNT=/other=memory:1M"])
    for _ in range(options.pairs):
        pair.disks = [fresh(f"large-{side}", "ext4", LARGE) for side in ("soil", "linux")]
        figure.add(*(1000 * seconds for seconds in pair.run("mount")[0]))
    return [figure]


def store(options):
    """Values of 100 bytes set in sequence on ext4, each durable; Linux: a new file, fsync, rename,
    fsync of the directory. Then by 64 tasks; Linux: 64 threads."""
    figure = Figure("fs_kv_set_per_s", "sets/s", "higher")
    together = Figure("fs_kv_set_per_s_64", "sets/s", "higher")
    pair = Pair(options, "ext4")
    for _ in range(options.pairs):
        pair.format()
        rate(figure, SETS, pair.run(f"set/{SETS}")[0])
        pair.format()
        rate(together, SETS_64, pair.run(f"set-together/64/{SETS_64}")[0])
    return [figure, together]


def embedded(options):
    """A file of 8 MiB embedded in the program, a byte of each cache line; Linux maps one of its
    initial file system."""
    figure = Figure("fs_embed_read_gibs", "GiB/s", "higher")
    pair = Pair(options)
    for _ in range(options.pairs):
        rate(figure, SMALL * REPEATS / (1024 * MIB), pair.run(f"embedded/{SMALL}/{REPEATS}")[0])
    return [figure]


def memory(options):
    """The least -m with which a file of 8 MiB and 1000 small ones are written and read on FAT."""
    figure = Figure("fs_memory_mib", "MiB", "lower")
    pair = Pair(options, "vfat")
    works = [f"write/small/{SMALL}", f"create/{FILES}", "read/small"]

    def works_with(side, mem):
        pair.format()
        try:
            return len(results(pair.commands(works, mem)[side], 30, starts=1)) == len(works)
        except (RuntimeError, Timeout):
            return False

    figure.add(
        least(lambda mem: works_with(0, mem), 2, 64), least(lambda mem: works_with(1, mem), 48, 128)
    )
    return [figure]


def uncached(path):
    """Drops the file from the host's page cache."""
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)


def host(options, suffix, prefix):
    """Processes on the disk's image, with nothing of it in the page cache. The plain one reads and
    writes it as an ordinary file; for 32 concurrent requests it bypasses the page cache, since
    Linux's asynchronous I/O would otherwise block."""
    figures = raw_figures("fs_host_", suffix)
    disk = disks.random_disk()

    def seconds(program, **env):
        found = []
        for work in raw_works():
            uncached(disk)
            found += results(
                [*prefix, built(program), work],
                env=env if "/32/" in work else {**env, "BUFFERED": "1"},
            )
        return found

    for _ in range(options.pairs):
        ours, theirs = seconds(PROCESS, SOIL_DISK_data=disk), seconds(PEER, DISK=disk)
        add_raw(figures, zip(ours, theirs, strict=True))
    return figures


def host_files(options):
    """A file in a folder of the host: written and synced, then read with nothing of it in the page
    cache."""
    write = Figure("fs_host_write_mibs", "MiB/s", "higher")
    read = Figure("fs_host_read_mibs", "MiB/s", "higher")
    folder = peer.work("folder")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "file")

    def rates(program, **env):
        if os.path.exists(path):
            os.unlink(path)
        written = results([built(program), f"write/file/{FILE}"], env=env)[0]
        uncached(path)
        return FILE / MIB / written, FILE / MIB / results([built(program), "read/file"], env=env)[0]

    sides = (PROCESS, {"SOIL_MOUNT": f"/data=host:{folder}"}), (PEER, {"DIRECTORY": folder + "/"})
    for pair in range(options.pairs):
        # The order alternates, since the first run finds the host's journal in another state.
        order = sides if pair % 2 == 0 else sides[::-1]
        found = {program: rates(program, **env) for program, env in order}
        ours, theirs = found[PROCESS], found[PEER]
        write.add(ours[0], theirs[0])
        read.add(ours[1], theirs[1])
    os.unlink(path)
    return [read, write]


GROUPS = {
    "fs_blk": raw,
    "fs_fat": fat,
    "fs_ext4": ext4,
    "fs_ext4_dir": directory,
    "fs_ext4_mount": mount,
    "fs_embed": embedded,
    "fs_kv": store,
    "fs_memory": memory,
    "fs_host": quota.beside("fs_host", host),
    "fs_host_files": host_files,
}

ORDER = """fs_blk_seq_read_mibs fs_blk_seq_write_mibs fs_blk_rand_read_iops_qd1
fs_blk_rand_read_iops_qd32 fs_blk_rand_write_iops_qd32 fs_flush_us_p50 fs_fat_read_mibs
fs_fat_read_percent_of_raw fs_fat_write_mibs fs_fat_create_per_s
fs_fat_fsync_append_per_s fs_ext4_read_mibs fs_ext4_write_mibs fs_ext4_create_per_s
fs_ext4_rename_per_s fs_ext4_unlink_per_s fs_ext4_fsync_append_per_s
fs_ext4_fsync_8_per_s fs_ext4_dir_100k_list_ms fs_ext4_mount_64g_ms fs_embed_read_gibs
fs_cached_read_gibs fs_cached_copy_gibs fs_ext4_cached_read_gibs fs_ext4_cached_copy_gibs
fs_kv_set_per_s fs_kv_set_per_s_64 fs_memory_mib fs_host_blk_seq_read_mibs fs_host_blk_seq_write_mibs
fs_host_blk_rand_read_iops_qd1 fs_host_blk_rand_read_iops_qd32
fs_host_blk_rand_write_iops_qd32 fs_host_blk_seq_read_mibs_slow
fs_host_blk_seq_write_mibs_slow fs_host_blk_rand_read_iops_qd1_slow
fs_host_blk_rand_read_iops_qd32_slow fs_host_blk_rand_write_iops_qd32_slow
fs_host_read_mibs fs_host_write_mibs""".split()
