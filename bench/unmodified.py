"""Programs without a line of Soil: the same source, linked as an image and for the Linux peer."""

import os

import network
import peer
import qemu
import storage
from boot import IMAGES, LINUX, between, built, first_line_ms, image, least_of_servers
from harness.tap import Tap
from measure import Figure
from target import FOREIGN

PROGRAMS = IMAGES + "bench/programs/unmodified/"
ORDER = """thread_switch_us mutex_handover_us unix_http_rps_c8 unix_http_rps_c64
unix_http_rps_c512 lwt_http_rps_c8 lwt_http_rps_c64 boot_first_line_ms_lwt_http
image_bytes_lwt_http min_ram_mib_lwt_http unix_file_read_mibs unix_files_create_per_s sqlite_commits_per_s""".split()

MIB, TIMES, FILES, COMMITS = 8, 64, 1000, 500


def prepare():
    peer.initramfs("threads", [], built(LINUX + "threads.exe"))
    for machine, transport in peer.TRANSPORT.items():
        if not FOREIGN:
            peer.initramfs(f"lwt-{machine}", transport + peer.NET, built(LINUX + "lwt_http.exe"))
        for name in ("files",) if FOREIGN else ("files", "sqlite"):
            program = built(f"{LINUX}{name}.exe")
            peer.initramfs(f"{name}-{machine}", transport + peer.DISK, program)


def threads(options):
    """Two threads alternating by Thread.yield and by a mutex with a condition: microseconds a
    turn."""
    figures = []
    program = image(PROGRAMS + "threads.exe")
    for name, kind, count in (
        ("thread_switch_us", "yield", 200_000),
        ("mutex_handover_us", "condition", 200_000),
    ):
        figure = Figure(name, "us", "lower")
        words = [kind, str(count)]
        for _ in range(options.pairs):
            seconds = (
                between(qemu.soil(program, words, options.machine)),
                between(qemu.linux(peer.work("threads.cpio"), [], words, options.machine)),
            )
            figure.add(*(each * 1e6 / count for each in seconds))
        figures.append(figure)
    return figures


def http(options):
    """The peer's server with its `select` loop: the constant 1 KiB response, keep-alive, one wrk
    thread."""
    figures = {
        count: Figure(f"unix_http_rps_c{count}", "requests/s", "higher") for count in (8, 64, 512)
    }

    def work(host, _pid):
        return [network.wrk(host, count, options.seconds)[0] for count in figures]

    for soil, linux in network.pairs(options, "http", 80, work, PROGRAMS + "serve.exe"):
        for figure, ours, theirs in zip(figures.values(), soil, linux, strict=True):
            figure.add(ours, theirs)
    return list(figures.values())


def lwt_guests(options):
    """The two guests with the server on cohttp-lwt-unix, as functions of a TAP and of MiB."""
    modules = peer.TRANSPORT[options.machine] + peer.NET
    archive = peer.work(f"lwt-{options.machine}.cpio")
    program = image(PROGRAMS + "lwt_http.exe")
    return (
        lambda tap, mem=256: qemu.soil(program, ["80"], options.machine, mem, tap),
        lambda tap, mem=256: qemu.linux(archive, modules, ["80"], options.machine, mem, tap),
    )


def lwt_http(options):
    """cohttp-lwt-unix with a constant 1 KiB response, as `http`; its boot to "ready", its size and
    the least memory with which it answers."""
    figures = {count: Figure(f"lwt_http_rps_c{count}", "requests/s", "higher") for count in (8, 64)}
    boot = Figure("boot_first_line_ms_lwt_http", "ms", "lower")
    size = Figure("image_bytes_lwt_http", "bytes", "lower")
    ram = Figure("min_ram_mib_lwt_http", "MiB", "lower")

    def work(host, _pid):
        return [network.wrk(host, count, options.seconds)[0] for count in figures]

    guests = lwt_guests(options)
    for _ in range(options.pairs):
        rates = [network.served(guest, work) for guest in guests]
        for figure, ours, theirs in zip(figures.values(), *rates, strict=True):
            figure.add(ours, theirs)
        with Tap(3) as tap:
            boot.add(*(first_line_ms(guest(tap), "ready") for guest in guests))
    archive = peer.smallest_bytes(peer.work(f"lwt-{options.machine}.cpio"))
    size.add(os.path.getsize(image(PROGRAMS + "lwt_http.exe")), archive)
    ram.add(*least_of_servers(guests, "http://{}/"))
    return [*figures.values(), boot, size, ram]


def on_ext4(options, name, words):
    """Seconds of a program with its own fresh ext4, as an image and in the Linux guest."""
    disks = [storage.fresh(f"{name}-{side}", "ext4") for side in ("soil", "linux")]
    modules = peer.TRANSPORT[options.machine] + peer.DISK
    ours = image(f"{PROGRAMS}{name}.exe")
    theirs = peer.work(f"{name}-{options.machine}.cpio")
    commands = (
        qemu.soil(ours, ["/data", *words], options.machine, disk=disks[0]),
        qemu.linux(theirs, modules, ["/mnt", *words], options.machine, disk=disks[1], mount="ext4"),
    )
    return [between(command) for command in commands]


def files(options):
    """Files by `Unix`: read repeatedly in pieces of 64 KiB, and created."""
    read = Figure("unix_file_read_mibs", "MiB/s", "higher")
    create = Figure("unix_files_create_per_s", "files/s", "higher")
    for _ in range(options.pairs):
        words = ["read", str(MIB), str(TIMES)]
        storage.rate(read, MIB * TIMES, on_ext4(options, "files", words))
        storage.rate(create, FILES, on_ext4(options, "files", ["create", str(FILES)]))
    return [read, create]


def sqlite(options):
    """Transactions of one row through SQLite's write-ahead log, each durable."""
    figure = Figure("sqlite_commits_per_s", "commits/s", "higher")
    for _ in range(options.pairs):
        storage.rate(figure, COMMITS, on_ext4(options, "sqlite", [str(COMMITS)]))
    return [figure]


GROUPS = {
    "threads": threads,
    "unix_http": http,
    "lwt_http": lwt_http,
    "unix_files": files,
    "sqlite": sqlite,
}
