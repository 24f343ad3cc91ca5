"""Boot time, sizes, least memory, and compute."""

import os
import re
import subprocess

import peer
import qemu
from harness.console import Child, Timeout
from harness.tap import Tap
from measure import Figure
from start import said, started
from target import ARCH, FOREIGN, TARGET

ROOT = os.path.dirname(peer.HERE)
PROGRAMS = {
    "hello": "examples/hello/main.exe",
    "echo": "examples/echo/main.exe",
    "website": "examples/website/main.exe",
}
IMAGES = f"_build/{TARGET.images}/"
LINUX = f"_build/{TARGET.peers}/bench/programs/linux/"
SOIL = IMAGES + "bench/programs/soil/"
TOOL = "_build/default/tools/soil"


def built(path):
    """The path of a file built by dune; FileNotFoundError if it is missing."""
    full = os.path.join(ROOT, path)
    if not os.path.exists(full):
        raise FileNotFoundError(2, "not built", full)
    return full


def stripped(path):
    """A stripped copy of an image, in the form to ship."""
    out = peer.work(path.replace("/", "-"))
    peer.run(TARGET.tools + "strip", "-o", out, built(path))
    return out


def image(path):
    """An image in the form that QEMU boots: stripped; for arm64 its flat form."""
    out = stripped(path)
    if FOREIGN:
        peer.run(built(TOOL), "strip", "--flat", out, out + ".img", capture_output=True)
        out += ".img"
    return out


def build_floor():
    source, out = os.path.join(peer.HERE, "floor", ARCH + ".S"), peer.work("floor")
    peer.run(TARGET.tools + "as", "-o", out + ".o", source)
    peer.run(TARGET.tools + "ld", *TARGET.floor, "--build-id=none", "-o", out, out + ".o")
    if FOREIGN:
        peer.run(TARGET.tools + "objcopy", "-O", "binary", out)


def prepare():
    os.makedirs(peer.WORK, exist_ok=True)
    build_floor()
    peer.initramfs("hello", [], built(LINUX + "hello.exe"))
    peer.initramfs("trees", [], built(LINUX + "trees.exe"))


def first_line_ms(command, text):
    with started(command, said(text, timeout=15)) as (_, seconds):
        return seconds * 1000


def boot(options):
    """From the start of QEMU to the first line on its output, hello against hello."""
    figures = []
    hello = image(IMAGES + PROGRAMS["hello"])
    first, *others = peer.TRANSPORT
    for machine, suffix, rounds in (
        (first, "", 2 * options.pairs),
        *((other, "_" + other.replace("-", "_"), options.pairs) for other in others),
    ):
        line = Figure("boot_first_line_ms" + suffix, "ms", "lower")
        floor = Figure("boot_floor_ratio" + suffix, "times the empty image", "lower")
        for _ in range(rounds):
            least = first_line_ms(qemu.floor(peer.work("floor"), machine), "x")
            soil = first_line_ms(qemu.soil(hello, [], machine), "Hello")
            linux = first_line_ms(qemu.linux(peer.work("hello.cpio"), [], [], machine), "Hello")
            line.add(soil, linux)
            floor.add(soil / least, linux / least)
        figures += [line, floor]
    return figures


def sizes(_options):
    """Bytes of everything that boots: a stripped image; the peer's bzImage and packed initramfs."""
    figures = []
    net = f"net-{next(iter(peer.TRANSPORT))}.cpio"
    archives = {"hello": "hello.cpio", "echo": net, "website": net}
    for name, path in PROGRAMS.items():
        figure = Figure("image_bytes_" + name, "bytes", "lower")
        figure.add(
            os.path.getsize(stripped(IMAGES + path)),
            peer.smallest_bytes(peer.work(archives[name])),
        )
        figures.append(figure)
        if FOREIGN:
            figures.append(beside_x86_64(name, path))
    return figures


def beside_x86_64(name, path):
    """Bytes of the stripped image beside those of the same program's for x86-64."""
    figure = Figure(f"image_bytes_{name}_beside_x86_64", "bytes", "lower")
    other = peer.work("x86_64-" + name)
    peer.run("strip", "-o", other, built("_build/soil/" + path))
    figure.add(os.path.getsize(stripped(IMAGES + path)), os.path.getsize(other))
    return figure


def least(works, low, high):
    """The least MiB in (low, high] with which `works`, by bisection; None if `high` is too
    little."""
    if not works(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    return high


def succeeds(words, timeout=15):
    """Whether a client exits with status 0 in time. A guest with too little memory may accept a
    connection and never answer it."""
    try:
        return subprocess.run(words, capture_output=True, timeout=timeout).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def says(command, text, then=None):
    """Whether the guest prints `text` in time, and the check `then` passes after that."""
    with Child(command) as child:
        try:
            child.wait_line(text, timeout=15)
            return then is None or then()
        except Timeout:
            return False


def least_of_servers(both, url):
    """The least -m with which `both`, Soil and Linux as functions of a TAP and of MiB, deliver
    `url`, which has a placeholder for the address."""
    with Tap(3) as tap:

        def answers():
            return succeeds(["curl", "-fsSk", "-o", "/dev/null", url.format(tap.guest)])

        ours, theirs = (
            lambda mem, guest=guest: says(guest(tap, mem), "ready", answers) for guest in both
        )
        return least(ours, 4, 64), least(theirs, 48, 160)


def memory(options):
    """The least -m: hello prints its line, echo echoes, website delivers its first page."""
    machine = options.machine
    modules = peer.TRANSPORT[machine] + peer.NET
    figures = []
    with Tap(2) as tap:

        def echoes():
            return succeeds([peer.work("load"), "copy", tap.guest, "7", "131072"])

        def delivers():
            return succeeds(["curl", "-fsS", "-o", "/dev/null", f"http://{tap.guest}/"])

        hello = image(IMAGES + PROGRAMS["hello"])
        echo = image(IMAGES + PROGRAMS["echo"])
        website = image(IMAGES + PROGRAMS["website"])
        site = site_disk()
        net = peer.work(f"net-{machine}.cpio")
        cases = {
            "hello": (
                lambda mem: says(qemu.soil(hello, [], machine, mem), "Hello"),
                lambda mem: says(
                    qemu.linux(peer.work("hello.cpio"), [], [], machine, mem), "Hello"
                ),
            ),
            "echo": (
                lambda mem: says(qemu.soil(echo, [], machine, mem, tap), "7", echoes),
                lambda mem: says(
                    qemu.linux(net, modules, ["echo", "7"], machine, mem, tap), "ready", echoes
                ),
            ),
            "website": (
                lambda mem: says(
                    qemu.soil(website, [], machine, mem, tap, site, serial="www"),
                    "serves",
                    delivers,
                ),
                lambda mem: says(
                    qemu.linux(net, modules, ["http", "80"], machine, mem, tap), "ready", delivers
                ),
            ),
        }
        for name, (soil, linux) in cases.items():
            figure = Figure("min_ram_mib_" + name, "MiB", "lower")
            figure.add(least(soil, 2, 32), least(linux, 48, 128))
            figures.append(figure)
    return figures


def site_disk():
    """A FAT disk with the example's pages."""
    disk = peer.work("site.img")
    pages = os.path.join(ROOT, "examples", "website", "site")
    if not os.path.exists(disk):
        with open(disk, "wb") as file:
            file.truncate(8 << 20)
        subprocess.run(["mkfs.fat", disk], check=True, capture_output=True)
        names = [os.path.join(pages, name) for name in sorted(os.listdir(pages))]
        subprocess.run(["mcopy", "-s", "-i", disk, *names, "::/"], check=True)
    return disk


def compute(options):
    """Trees 16 20000: allocation, minor and major collections. Soil's seconds compared with
    Linux's."""
    figure = Figure("compute_ratio", "s", "lower")
    arguments = ["16", "20000"]
    for program in (SOIL + "trees.exe", LINUX + "trees.exe"):
        in_one_page(built(program), r"Trees\W*_*(make|check)_\d+")
    trees = image(SOIL + "trees.exe")
    for _ in range(options.pairs):
        figure.add(
            between(qemu.soil(trees, arguments, options.machine)),
            between(qemu.linux(peer.work("trees.cpio"), [], arguments, options.machine)),
        )
    return [figure]


def in_one_page(program, name):
    """Raises ValueError if a function of this name lies across two pages of 4 KiB. Jumps between
    pages cost an image and its peer a fifth of the time of such a program under TCG, and where the
    linker places a function is no property of either."""
    listing = peer.run(TARGET.tools + "nm", "-S", program, capture_output=True, text=True).stdout
    functions = [line.split() for line in listing.splitlines() if re.search(name + "$", line)]
    if not functions:
        raise ValueError(f"{program} has no function of the name {name}")
    for address, size, _, symbol in functions:
        first, last = int(address, 16), int(address, 16) + int(size, 16) - 1
        if first >> 12 != last >> 12:
            raise ValueError(f"{symbol} of {program} lies across two pages")


def between(command, timeout=60):
    """Seconds on the host's clock between the guest's lines "begin" and "end"."""
    with started(command, said("begin", timeout)) as (child, begin):
        end, _ = child.wait_line("end", timeout)
        return end - begin
