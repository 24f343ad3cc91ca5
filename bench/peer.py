"""The Linux micro-VM that Soil is compared with: its build, and its QEMU command.

Set-up has fetched Debian's cloud kernel for this user; the rest is built into `bench/work/` (not in
git): the unpacked kernel, a small init in C, and an initramfs with the static OCaml program.
"""

import contextlib
import functools
import glob
import gzip
import os
import re
import shutil
import stat
import subprocess
import tempfile

from target import ARCH, FOREIGN, TARGET

HERE = os.path.dirname(os.path.abspath(__file__))
WORK = os.path.join(HERE, "work", ARCH) if FOREIGN else os.path.join(HERE, "work")
SETUP = os.path.join(os.path.dirname(HERE), "tools", "setup", "setup.sh")
GUEST_MAC = "52:54:00:12:34:56"
# Debian's flavours of the kernel: the peer's, and the one with display drivers.
CLOUD, FULL = TARGET.kernel, "amd64"

TRANSPORT = TARGET.machines
NET = ["failover", "net_failover", "virtio_net"]
DISK = ["virtio_blk"]
# By the magic number of their output.
COMPRESSIONS = {
    b"\x02\x21\x4c\x18": "lz4",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\0": "xz",
    b"\x1f\x8b\x08": "gzip",
}
VFAT = ["fat", "vfat", "nls_cp437", "nls_ascii", "nls_utf8"]


class Missing(Exception):
    """This machine lacks a requirement of the peer; the message names the package to install."""


def work(*parts):
    return os.path.join(WORK, *parts)


def run(*command, **options):
    return subprocess.run(command, check=True, **options)


@functools.cache
def package(flavour=CLOUD):
    """The folder with Debian's kernel, which set-up unpacked for this user."""
    return set_up("kernel", flavour)


def set_up(*words):
    """The path that set-up prints for `words`: of files unpacked for this user."""
    done = subprocess.run([SETUP, *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Missing(done.stderr.strip() or f"{SETUP} {' '.join(words)} failed")
    return done.stdout.strip()


def kernel_version(flavour=CLOUD):
    """Debian's name of the peer's kernel."""
    with open(os.path.join(package(flavour), "version"), encoding="ascii") as file:
        return file.read().strip()


def kernel(flavour=CLOUD):
    """Unpacks the kernel once; returns the paths of the form that boots fastest and of the
    smallest: for x86-64 the uncompressed ELF and the bzImage, for arm64 the Image and the same
    compressed."""
    suffix = "" if flavour == CLOUD else "-" + flavour
    elf, bzimage, made = (work(f + suffix) for f in ("vmlinux", "bzImage", "vmlinux.version"))
    version = kernel_version(flavour)
    with contextlib.suppress(FileNotFoundError), open(made, encoding="ascii") as file:
        if file.read() == version:
            return elf, bzimage
    os.makedirs(WORK, exist_ok=True)
    folder = package(flavour)
    packed = os.path.join(folder, "boot", "vmlinuz-" + version)
    if not os.path.exists(packed):
        # Debian 14 keeps it beside the modules.
        packed = os.path.join(folder, "lib", "modules", version, "vmlinuz")
    shutil.copyfile(packed, bzimage)
    with open(elf + ".new", "wb") as out:
        out.write(uncompressed(bzimage))
    os.rename(elf + ".new", elf)
    if FOREIGN:
        with open(elf, "rb") as image, open(bzimage, "wb") as out:
            out.write(gzip.compress(image.read(), 9, mtime=0))
    with open(made, "w", encoding="ascii") as file:
        file.write(version)
    return elf, bzimage


def boots(data):
    """Whether the data is a kernel in the form that boots fastest: an ELF file, or an Image."""
    return data.startswith(b"\x7fELF") or data[56:60] == b"ARM\x64"


def uncompressed(image):
    """The kernel inside a compressed one; its magic number identifies the compression. Debian's
    Image isn't compressed."""
    with open(image, "rb") as file:
        data = file.read()
    if boots(data):
        return data
    for magic, tool in COMPRESSIONS.items():
        start = data.find(magic)
        while start >= 0:
            # The tool complains about the data after the compressed part; the ELF is complete.
            out = decompressed(tool, data[start:])
            if boots(out):
                return out
            start = data.find(magic, start + 1)
    raise Missing(f"no kernel found in {image}")


def decompressed(tool, data):
    """The output of `tool` for the data, up to an error."""
    if not shutil.which(tool):
        raise Missing(f"`{tool}` is not installed; run: make setup")
    return subprocess.run([tool, "-d", "-c"], input=data, capture_output=True, check=False).stdout


@contextlib.contextmanager
def written(path):
    """A path to write a file to before renaming it to `path`: parallel tests make the same
    files."""
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        new = os.path.join(folder, os.path.basename(path))
        yield new
        os.replace(new, path)


def init():
    """Builds init.c once, as a small static program."""
    source, out = os.path.join(HERE, "peer", "init.c"), work("init")
    if not os.path.exists(out) or os.path.getmtime(out) < os.path.getmtime(source):
        compiler = [TARGET.tools + "gcc"]
        if not FOREIGN:
            headers = ["-idirafter", "/usr/include", "-idirafter", "/usr/include/x86_64-linux-gnu"]
            compiler = ["musl-gcc", *headers]
        with written(out) as new:
            run(*compiler, "-Os", "-static", "-s", "-o", new, source)
    return out


def module(name, flavour=CLOUD):
    """The contents of a kernel module without debug information; None for one built into the
    kernel."""
    folder = os.path.join(package(flavour), "lib", "modules", kernel_version(flavour))
    found = glob.glob(os.path.join(folder, "kernel", "**", name + ".ko*"), recursive=True)
    if not found:
        listed = os.path.join(folder, "modules.builtin")
        # Debian 14's package lacks the list; the guest reports missing modules.
        if not os.path.exists(listed):
            return None
        with open(listed, encoding="utf-8") as file:
            if any(os.path.basename(line.strip()) == name + ".ko" for line in file):
                return None
        raise Missing(f"kernel module {name} not found in the package of kernel {flavour}")
    with open(found[0], "rb") as file:
        data = file.read()
    for magic, tool in COMPRESSIONS.items():
        if data.startswith(magic):
            data = decompressed(tool, data)
            break
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        plain = os.path.join(folder, name + ".ko")
        with open(plain, "wb") as file:
            file.write(data)
        run(TARGET.tools + "strip", "--strip-debug", plain)
        with open(plain, "rb") as file:
            return file.read()


def cpio(entries):
    """A newc archive of (name, mode, contents, device) tuples."""
    out = bytearray()

    def pad():
        out.extend(b"\0" * (-len(out) % 4))

    def record(number, name, mode, data, device):
        encoded = name.encode() + b"\0"
        fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0]
        out.extend(b"070701" + b"".join(b"%08X" % field for field in fields) + encoded)
        pad()
        out.extend(data)
        pad()

    for number, (name, mode, data, device) in enumerate(entries, 1):
        record(number, name, mode, data, device)
    record(0, "TRAILER!!!", 0, b"", (0, 0))
    return bytes(out)


def initramfs(name, modules, program, flavour=CLOUD, files=()):
    """Writes `bench/work/NAME.cpio` with init, `modules` of the kernel, `program` as /app, and
    `files`, by absolute paths that they also have here; returns its path."""
    kernel(flavour)
    stripped = work(name + ".app")
    with written(stripped) as new:
        run(TARGET.tools + "strip", "-o", new, program)
    folders = dict.fromkeys(["dev", "proc", "sys", "mnt", "m"])
    for path in files:
        parts = path.split("/")[1:-1]
        folders |= dict.fromkeys("/".join(parts[: n + 1]) for n in range(len(parts)))
    directories = [(folder, stat.S_IFDIR | 0o755, b"", (0, 0)) for folder in folders]
    devices = [
        ("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)),
        ("dev/null", stat.S_IFCHR | 0o666, b"", (1, 3)),
    ]
    contents = []
    copied = [(path[1:], path) for path in files]
    for path, source in (("init", init()), ("app", stripped), *copied):
        with open(source, "rb") as file:
            contents.append((path, stat.S_IFREG | 0o755, file.read(), (0, 0)))
    for each in modules:
        if data := module(each, flavour):
            contents.append((f"m/{each}.ko", stat.S_IFREG | 0o644, data, (0, 0)))
    out = work(name + ".cpio")
    with written(out) as new, open(new, "wb") as file:
        file.write(clear_of_tables(cpio(directories + devices + contents)))
    return out


def clear_of_tables(archive):
    """The archive padded with zeros. A microvm has its ACPI tables in the last bytes of memory, and
    QEMU places the archive on the last pages regardless: it must end early in its last page, or the
    kernel finds no devices."""
    return archive + bytes(-(len(archive) - 16) % 4096)


def smallest_bytes(archive):
    """Bytes of the smallest form of the whole machine: compressed kernel and initramfs."""
    with open(archive, "rb") as file:
        return os.path.getsize(kernel()[1]) + len(gzip.compress(file.read(), 9))


def tsc_khz():
    """The host's TSC frequency in kHz: without it some boots hang while calibrating."""
    text = subprocess.run(["dmesg"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"tsc: Detected ([0-9.]+) MHz", text)
    if not found:
        with open("/proc/cpuinfo", encoding="ascii") as info:
            found = re.search(r"cpu MHz\s*: ([0-9.]+)", info.read())
    return int(float(found[1]) * 1000)


def command_line(words):
    """The kernel command line that boots fastest here, with `words` for init."""
    general = "quiet loglevel=0 panic=-1 cryptomgr.notests mitigations=off"
    clock = "" if FOREIGN else f"tsc_early_khz={tsc_khz()} tsc=reliable"
    return " ".join([general, TARGET.options, clock, *words])
