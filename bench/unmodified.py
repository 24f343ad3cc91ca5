"""Programs without a line of Soil: the same source, linked as an image and for the Linux peer."""

import network
import peer
import qemu
import storage
from boot import LINUX, between, built, image
from measure import Figure

PROGRAMS = "_build/soil/bench/programs/unmodified/"
ORDER = """thread_switch_us mutex_handover_us unix_http_rps_c8 unix_http_rps_c64
unix_http_rps_c512 unix_file_read_mibs unix_files_create_per_s""".split()

MIB, TIMES, FILES = 8, 64, 1000


def prepare():
    peer.initramfs("threads", [], built(LINUX + "threads.exe"))
    for machine, transport in peer.TRANSPORT.items():
        peer.initramfs("files-" + machine, transport + peer.DISK, built(LINUX + "files.exe"))


def threads(options):
    """Two threads in turns, by Thread.yield and by a mutex with a condition: microseconds a
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


def files(options):
    """Files on a fresh ext4 by `Unix`: read again and again in pieces of 64 KiB, and created."""
    read = Figure("unix_file_read_mibs", "MiB/s", "higher")
    create = Figure("unix_files_create_per_s", "files/s", "higher")
    archive = peer.work(f"files-{options.machine}.cpio")
    modules = peer.TRANSPORT[options.machine] + peer.DISK
    program = image(PROGRAMS + "files.exe")

    def seconds(*words):
        disks = [storage.fresh(f"files-{side}", "ext4") for side in ("soil", "linux")]
        return (
            between(qemu.soil(program, ["/data", *words], options.machine, disk=disks[0])),
            between(
                qemu.linux(
                    archive,
                    modules,
                    ["/mnt", *words],
                    options.machine,
                    disk=disks[1],
                    mount="ext4",
                )
            ),
        )

    for _ in range(options.pairs):
        storage.rate(read, MIB * TIMES, seconds("read", str(MIB), str(TIMES)))
        storage.rate(create, FILES, seconds("create", str(FILES)))
    return [read, create]


GROUPS = {"threads": threads, "unix_http": http, "unix_files": files}
