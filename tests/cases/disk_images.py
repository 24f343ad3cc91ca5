"""`soil disk`: mtools, debugfs and checkers read its images, and it reads the images of other
tools."""

import contextlib
import filecmp
import os
import random
import signal
import subprocess
import time

from harness.context import SOIL
from harness.runner import test

MIB = 1 << 20
START = MIB  # of the first partition


def tools():
    """The environment for tools that Debian keeps in /usr/sbin."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return {**os.environ, "PATH": path, "MTOOLS_SKIP_CHECK": "1", "LC_ALL": "C.UTF-8"}


def tree(context, name="tree", links=False):
    """Many kinds of files below a new directory."""
    root = context.path(name)
    os.makedirs(os.path.join(root, "docs", "deep", "er"))
    os.mkdir(os.path.join(root, "empty"))
    numbers = random.Random(4)
    files = {
        "hello.txt": b"hello\n",
        "nothing": b"",
        "docs/Übung mit langem Namen.txt": "grüße\n".encode(),
        "docs/deep/er/random.bin": numbers.randbytes(3 * MIB + 77),
        "docs/numbers": b"".join(b"%d\n" % n for n in range(60000)),
        "docs/" + "n" * 120: b"long",
    }
    for number in range(150):
        files[f"docs/deep/{number:03}.dat"] = numbers.randbytes(number * 37)
    for path, data in files.items():
        path = os.path.join(root, path)
        with open(path, "wb") as file:
            file.write(data)
        os.utime(path, (1_600_000_000, 1_600_000_000))
    if links:
        os.link(os.path.join(root, "hello.txt"), os.path.join(root, "docs", "hard"))
        os.symlink("../hello.txt", os.path.join(root, "docs", "soft"))
    return root


def entries(root):
    """The entries below a directory: kinds, contents and targets by path."""
    found = {}
    for folder, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.join(folder, name)
            below = os.path.relpath(path, root)
            if os.path.islink(path):
                found[below] = ("link", os.readlink(path))
            elif os.path.isdir(path):
                found[below] = ("directory",)
            else:
                with open(path, "rb") as file:
                    found[below] = ("file", file.read())
    return found


def same(one, other, what):
    one, other = entries(one), entries(other)
    assert sorted(one) == sorted(other), (
        f"{what}: names differ: {sorted(one.keys() ^ other.keys())[:5]}"
    )
    different = [path for path in one if one[path] != other[path]]
    assert not different, f"{what}: contents differ: {different[:5]}"


def disk(context, *words, check=True):
    return context.run(SOIL, "disk", *words, check=check)


def refused(context, *words, naming):
    """The command fails with one line that contains these texts."""
    done = disk(context, *words, check=False)
    text = done.stdout + done.stderr
    assert done.returncode not in (0, 101), f"{words}: status {done.returncode}: {text}"
    lines = [line for line in done.stderr.splitlines() if line.startswith(("soil: ", "error: "))]
    assert len(lines) == 1, f"{words}: {text}"
    for word in naming:
        assert word in lines[0], f"{words}: {word!r} isn't in {lines[0]!r}"
    return text


def extracted(context, image, *options):
    """The files written by `soil disk extract`."""
    extracted.count += 1
    target = context.path(f"extracted-{extracted.count}")
    disk(context, "extract", image, target, *options)
    return target


extracted.count = 0


def by_mtools(context, image, offset):
    target = context.path(f"mtools-{os.path.basename(image)}-{os.path.getsize(image)}")
    os.mkdir(target)
    context.run("mcopy", "-s", "-n", "-Q", "-i", f"{image}@@{offset}", "::*", target, env=tools())
    return target


def by_debugfs(context, image, offset):
    target = context.path(f"debugfs-{os.path.basename(image)}-{os.path.getsize(image)}")
    os.mkdir(target)
    context.run("debugfs", "-R", f"rdump / {target}", f"{image}?offset={offset}", env=tools())
    os.rmdir(os.path.join(target, "lost+found"))
    return target


def checked(context, image, kind, offset):
    """The file system's own checker, run by this test, finds nothing."""
    if kind == "ext4":
        context.run("e2fsck", "-fn", f"{image}?offset={offset}", env=tools())
        return
    part = context.path("part.img")
    with open(image, "rb") as source, open(part, "wb") as target:
        source.seek(offset)
        while data := source.read(MIB):
            if data.count(0) == len(data):
                target.seek(len(data), os.SEEK_CUR)
            else:
                target.write(data)
        end = target.tell()
        if offset:
            end -= MIB  # the second copy of the GPT, after the partition
        target.truncate(end)
    context.run("fsck.fat", "-n", "-V", part, env=tools())


def made(context, kind, partition):
    source = tree(context, links=kind == "ext4")
    image, offset = context.path(f"{kind}.img"), START if partition else 0
    options = ["--partition", "gpt"] if partition else []
    done = disk(
        context, "make", image, "--size", "24M", "--fs", kind, "--label", "data", *options, source
    )
    assert not done.stderr, f"something on standard error, which is no terminal: {done.stderr}"
    other = by_mtools if kind == "fat" else by_debugfs
    for size in (24, 70):
        assert os.path.getsize(image) == size * MIB
        assert os.stat(image).st_blocks * 512 < 16 * MIB, "the image isn't sparse"
        checked(context, image, kind, offset)
        same(source, other(context, image, offset), "read by others")
        same(source, extracted(context, image), "extracted")
        assert "clean" in disk(context, "check", image).stdout
        if partition:
            context.run("sfdisk", "--verify", image, env=tools())
            same(source, extracted(context, image, "--partition", "data"), "by label")
        if size == 24:
            disk(context, "grow", image, "--size", "70M")
    # The added part has room.
    if kind == "fat":
        words = ["mdir", "-i", f"{image}@@{offset}", "::"]
    else:
        # Debian 13's dumpe2fs takes no offset.
        words = ["debugfs", "-R", "show_super_stats -h", f"{image}?offset={offset}"]
    text = context.run(*words, env=tools()).stdout
    if kind == "fat":
        free = int(text.rsplit("bytes free", 1)[0].rsplit("\n", 1)[1].replace(" ", ""))
        assert free > 55 * MIB, text
    else:
        fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        assert int(fields["Block count"]) * int(fields["Block size"]) > 66 * MIB, text
        assert fields["Filesystem volume name"].strip() == "data"
    modified = os.stat(os.path.join(extracted(context, image), "hello.txt")).st_mtime
    assert modified == 1_600_000_000, modified


for each in ("fat", "ext4"):
    for inside in (False, True):
        test(
            name=each + ("-in-a-partition" if inside else ""),
            limit=120,
            shows="A disk that `soil disk` made and grew, looked at by mtools and fsck.fat, or by "
            "debugfs and e2fsck.",
        )(lambda context, kind=each, partition=inside: made(context, kind, partition))


@test(limit=120)
def made_by_others(context):
    """`soil disk` lists and extracts tar archives, mtools' disks and an MBR with two partitions."""
    source = tree(context, links=True)
    archive = context.path("tree.tar")
    context.run("tar", "-C", source, "--format=posix", "-cf", archive, ".")
    same(source, extracted(context, archive), "tar")
    listing = disk(context, "list", archive, "/docs").stdout
    assert "l            0" not in listing and "/docs/soft -> ../hello.txt" in listing, listing
    assert "2020-09-13 12:26 /docs/numbers" in listing, listing
    assert "/hello.txt" not in [line.split()[-1] for line in listing.splitlines()]
    assert "clean" in disk(context, "check", archive).stdout

    plain = tree(context, "plain")
    image = context.path("mtools.img")
    with open(image, "wb") as file:
        file.truncate(16 * MIB)
    context.run("mformat", "-i", image, "-T", "32768", "-h", "64", "-s", "32", "::", env=tools())
    names = [os.path.join(plain, name) for name in os.listdir(plain)]
    context.run("mcopy", "-s", "-Q", "-i", image, *names, "::", env=tools())
    same(plain, extracted(context, image), "mtools")

    both = context.path("both.img")
    with open(both, "wb") as file:
        file.truncate(64 * MIB)
    script = "label: dos\nstart=2048, size=40960, type=c\nstart=43008, type=83\n"
    subprocess.run(
        ["sfdisk", "-q", both],
        input=script,
        text=True,
        env=tools(),
        check=True,
        capture_output=True,
    )
    context.run("mkfs.fat", "--offset", "2048", both, "20480", env=tools())
    context.run("mcopy", "-s", "-Q", "-i", f"{both}@@{MIB}", *names, "::", env=tools())
    context.run(
        "mkfs.ext4", "-q", "-F", "-d", source, "-E", f"offset={21 * MIB}", both, "43M", env=tools()
    )
    assert "2     43 MiB" in disk(context, "list", both).stdout
    same(plain, extracted(context, both, "--partition", "1"), "the first partition")
    same(source, extracted(context, both, "--partition", "2"), "the second partition")
    refused(context, "extract", both, context.path("x"), naming=["2 partitions", "--partition"])
    refused(context, "list", both, "--partition", "3", naming=["no partition", "1, 2"])
    refused(context, "grow", both, "--partition", "1", "--size", "1G", naming=["last partition"])
    disk(context, "grow", both, "--partition", "2", "--size", "96M")
    checked(context, both, "ext4", 21 * MIB)
    same(source, extracted(context, both, "--partition", "2"), "grown")
    same(plain, extracted(context, both, "--partition", "1"), "beside it")


@test(limit=120)
def bad_input(context):
    """Each mistake gives one line, and leaves no partial image and no other file."""
    source = tree(context)
    folder = context.path("images")
    os.mkdir(folder)
    image = os.path.join(folder, "disk.img")
    make = ["make", image, source, "--fs"]
    refused(context, *make, "fat", "--size", "2M", naming=["--size", "3.7 MiB"])
    for kind, size in (("fat", "3820K"), ("ext4", "4M")):
        refused(context, *make, kind, "--size", size, naming=["larger --size"])
    refused(context, *make, "fat", "--size", "16M", "--label", "more than eleven", naming=["11"])
    refused(context, *make, "ext4", "--size", "16M", "--label", "x" * 17, naming=["16"])
    refused(context, *make, "fat", "--size", "sixteen", naming=["--size", "64M"])
    refused(context, *make, "xfs", "--size", "16M", naming=["xfs"])
    refused(context, "make", image, source + "x", "--fs", "fat", "--size", "16M", naming=["treex"])
    refused(
        context,
        "make",
        folder,
        source,
        "--fs",
        "fat",
        "--size",
        "16M",
        "--force",
        naming=["directory"],
    )
    linked = tree(context, "linked", links=True)
    refused(context, "make", image, linked, "--fs", "fat", "--size", "16M", naming=["soft", "ext4"])
    colliding = context.path("colliding")
    os.mkdir(colliding)
    for name in ("Same", "same"):
        with open(os.path.join(colliding, name), "w", encoding="ascii"):
            pass
    refused(
        context, "make", image, colliding, "--fs", "fat", "--size", "16M", naming=["same", "case"]
    )
    assert not os.listdir(folder), os.listdir(folder)

    disk(context, *make, "fat", "--size", "16M")
    first = context.path("first.img")
    os.link(image, first)
    refused(context, *make, "ext4", "--size", "16M", naming=["--force"])
    refused(context, *make, "ext4", "--size", "4M", "--force", naming=["larger --size"])
    assert filecmp.cmp(image, first, shallow=False) and os.listdir(folder) == ["disk.img"]
    refused(context, "grow", image, "--size", "8M", naming=["16 MiB"])
    refused(context, "extract", image, source, naming=["isn't empty"])
    refused(context, "extract", image, context.path("y"), "/nowhere", naming=["/nowhere"])
    refused(context, "list", context.path("none.img"), naming=["none.img"])
    refused(context, "list", image, "--partition", "1", naming=["no partition table"])
    disk(context, *make, "ext4", "--size", "16M", "--force")
    assert "ext4, clean" in disk(context, "check", image).stdout

    with open(image, "r+b") as file:  # the inode table's start
        file.seek(1024 + 0x58)
        file.write(b"\xff" * 8)
    damaged = refused(context, "check", image, naming=["damaged", "e2fsck -f"])
    assert "e2fsck" in damaged
    with open(first, "r+b") as file:
        file.truncate(5 * MIB)
    refused(context, "check", first, naming=["truncated"])
    with open(first, "wb") as file:
        file.write(b"\x1f\x8b" + b"x" * 5000)
    refused(context, "list", first, naming=["gzip", "unpack"])


@test(limit=120)
def interrupted(context):
    """`soil disk make` that is stopped leaves no file behind."""
    source = context.path("large")
    os.mkdir(source)
    with open(os.path.join(source, "zeros"), "wb") as file:
        file.truncate(900 * MIB)
    folder = context.path("images")
    os.mkdir(folder)
    image = os.path.join(folder, "disk.img")

    def begun():
        """Whether anything was written, to any file."""
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                if os.stat(os.path.join(folder, name)).st_blocks:
                    return True
        return False

    def interrupt(kind):
        """The exit status after a signal sent once writing has begun."""
        words = [SOIL, "disk", "make", image, source, "--fs", "fat", "--size", "1G"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            while child.poll() is None and not begun():
                time.sleep(0.01)
            child.send_signal(kind)
            return child.wait(context.remaining())

    for kind in (signal.SIGINT, signal.SIGTERM):
        # If this process was descheduled meanwhile, the image may have been complete before the
        # signal: repeat.
        for _ in range(10):
            status = interrupt(kind)
            if status != 0:
                break
            os.unlink(image)
        assert status == 128 + kind, status
        assert not os.listdir(folder), os.listdir(folder)
