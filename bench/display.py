"""Frames and keys: one program on Soil's displays and on Linux's dumb buffers of DRM; and the frame
rate of the example terrarium."""

import os
import re
import statistics
import tempfile
import time
import urllib.request

import peer
import qemu
from boot import built, image
from harness.console import Child
from harness.qmp import Monitor
from harness.tap import Tap
from measure import Figure
from start import said, started

PROGRAMS = "bench/programs/display"
ORDER = """display_fps_full_640 display_fps_full_1080 display_fps_damage5_1080
display_copy_share display_key_to_flush_ms
display_terrarium_fps display_terrarium_late_percent""".split()
# In load order.
DRM = "virtio_dma_buf drm drm_shmem_helper drm_kms_helper virtio-gpu virtio_input evdev".split()
SMALL, LARGE = (640, 480), (1920, 1080)
# Keys of one run.
KEYS = 100
TERRARIUM = "_build/soil/examples/terrarium/main.exe"
# Pages that a client loads each second, each on a new connection.
PAGES_PER_SECOND = 50


def prepare():
    for machine, transport in peer.TRANSPORT.items():
        program = built(f"_build/default/{PROGRAMS}/linux/display.exe")
        peer.initramfs(f"display-{machine}", transport + DRM, program, peer.FULL)


def guests(options):
    """The two guests, as functions of a mode, the display's size, and QMP's socket."""
    modules = peer.TRANSPORT[options.machine] + DRM
    archive = peer.work(f"display-{options.machine}.cpio")
    program = image(f"_build/soil/{PROGRAMS}/soil/display.exe")

    def words(mode, size):
        return [mode, *map(str, size), str(options.seconds)]

    def soil(mode, size, monitor=None):
        run = words(mode, size)
        return qemu.soil(program, run, options.machine, display=size, monitor=monitor)

    def linux(mode, size, monitor=None):
        run = words(mode, size)
        return qemu.linux(
            archive,
            modules,
            run,
            options.machine,
            display=size,
            monitor=monitor,
            flavour=peer.FULL,
        )

    return soil, linux


def rate(command, seconds):
    """The frames a second that the guest prints."""
    with started(command, said("fps=", 60 + 4 * seconds)) as (child, _):
        return float(re.search(r"fps=([0-9.e+]+)", child.text)[1])


def answers(guest, size):
    """Milliseconds from a key's event in QEMU to the line after its flush: the median."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "qmp")
        command = guest("keys", size, path)
        with started(command, said("ready", timeout=60)) as (child, _):
            monitor = Monitor(path)
            times = [answer(child, monitor) for _ in range(KEYS)]
    return statistics.median(times)


def answer(child, monitor):
    after = len(child.text)
    key = {"type": "qcode", "data": "a"}

    def events(down):
        return [{"type": "key", "data": {"down": down, "key": key}}]

    start = time.monotonic()
    monitor.ask("input-send-event", events=events(True))
    child.wait_line("shown", timeout=20, after=after)
    taken = time.monotonic() - start
    monitor.ask("input-send-event", events=events(False))
    return taken * 1000


def display(options):
    """Whole frames and 5 % of one; the copy's share of a whole frame's time; keys."""
    small, large, damage = (Figure(name, "frames/s", "higher") for name in ORDER[:3])
    share = Figure("display_copy_share", "of memcpy", "higher")
    key = Figure("display_key_to_flush_ms", "ms", "lower")
    both = guests(options)

    def rates(mode, size):
        return [rate(guest(mode, size), options.seconds) for guest in both]

    for _ in range(options.pairs):
        small.add(*rates("full", SMALL))
        full, copies = rates("full", LARGE), rates("copies", LARGE)
        large.add(*full)
        share.add(*(frames / copied for frames, copied in zip(full, copies, strict=True)))
        damage.add(*rates("damage", LARGE))
        key.add(*(answers(guest, SMALL) for guest in both))
    return [small, large, damage, share, key]


def page(host):
    """The numbers of the terrarium's page."""
    with urllib.request.urlopen(f"http://{host}/", timeout=20) as answer:
        return {name: float(value) for name, value in map(bytes.split, answer)}


def terrarium(options):
    """The terrarium's frames, shown at 60 a second, while a client loads its page at a steady rate;
    no peer."""
    frames = Figure("display_terrarium_fps", "frames/s", "higher")
    late = Figure("display_terrarium_late_percent", "% of frames", "lower")
    program = image(TERRARIUM)
    for _ in range(options.pairs):
        with Tap(3) as tap:
            command = qemu.soil(program, [], options.machine, tap=tap, display=SMALL)
            with Child(command) as child:
                child.wait_line("listening on", timeout=20)
                first, start = page(tap.guest), time.monotonic()
                for number in range(1, int(options.seconds * PAGES_PER_SECOND) + 1):
                    due = start + number / PAGES_PER_SECOND
                    time.sleep(max(0, due - time.monotonic()))
                    last = page(tap.guest)
                seconds = time.monotonic() - start
        shown = last[b"frames"] - first[b"frames"]
        frames.add(shown / seconds, None)
        late.add(100 * (last[b"late"] - first[b"late"]) / shown, None)
    return [frames, late]


GROUPS = {"display": display, "terrarium": terrarium}
