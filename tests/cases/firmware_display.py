"""The frame buffer of UEFI's display, in machines whose display Soil has no driver for: the loader
of a disk hands it over, and the program or its console is shown there, to the pixel."""

import os
import re
import subprocess

from cases.display import PICTURES, dump, padded, picture, read_png, say, tell
from cases.loaders import OVMF, made
from cases.screen import PRINTS
from harness.context import Skip, clean, outcome
from harness.qmp import Monitor
from harness.runner import test

# What the screen is to QEMU; the last one is also a Bochs adapter.
DISPLAYS = ("ramfb", "vmware-svga", "VGA")


def start(context, display, *words, program=PICTURES):
    """Boots a disk of the program by OVMF, and returns the machine and its monitor."""
    if not os.path.exists(OVMF):
        raise Skip("no OVMF: install Debian's package ovmf")
    disk = made(context, *words, program=program)
    path = context.path(f"monitor-{display}")
    child = context.child(
        ["qemu-system-x86_64", "-M", "q35,accel=tcg", "-m", "256", "-cpu", "max", "-nodefaults"]
        + ["-bios", OVMF, "-drive", f"file={disk},format=raw,if=none,id=disk"]
        + ["-device", "virtio-blk-pci,drive=disk", "-serial", "stdio", "-display", "none"]
        + ["-device", f"{display},id=screen", "-action", "shutdown=pause"]
        + ["-qmp", f"unix:{path},server=on,wait=off"],
        stdin=subprocess.PIPE,
    )
    return child, Monitor(path, context.remaining())


def size_of(text):
    """Width and height of the only display."""
    ((name, width, height),) = set(re.findall(r"(display\d) true (\d+)x(\d+)", text))
    assert name == "display0", text
    return int(width), int(height)


@test(limit=180)
def firmware_displays_show_pictures(context):
    """The drawing on the frame buffer of UEFI: of its size, damaged, smaller, after another; a
    larger one is refused with the size."""
    for display in DISPLAYS[:2]:
        child, monitor = start(context, display)
        child.wait_line("ready")
        say(child, "sizes")
        child.wait_line("display0 true")
        width, height = size_of(child.text)
        for line, expected in (
            (f"draw display0 {width} {height}", picture(width, height)),
            ("damage display0 10 20 30 40", picture(width, height, (10, 20, 30, 40))),
            ("draw display0 99 50", padded(picture(99, 50), width, height)),
            ("close display0", padded(picture(99, 50), width, height)),
            ("draw display0 640 480", padded(picture(640, 480), width, height)),
        ):
            tell(child, line)
            assert dump(context, monitor, "screen") == expected, f"{display}: {line}"
        tell(child, "frames 100")
        say(child, f"draw display0 {width + 1} {height}")
        child.wait_line(f"the firmware's display has {width}x{height} pixels")
        child.stop()


def on_virtio(context, size, *words):
    """What the same program shows at its end on a virtio display of this size."""
    file = context.path("virtio.png")
    options = ["--env", "SOIL_CONSOLE=display", "--display-size", "x".join(map(str, size))]
    options += [f"--screenshot={file}", "--display=none"]
    child = context.soil(PRINTS, "q35", *words, options=options, stdin=subprocess.DEVNULL)
    outcome(child, context)
    return read_png(file)


@test(limit=240)
def firmware_displays_show_the_console(context):
    """The console on the frame buffer of UEFI looks as on virtio's display, gives it to the program
    while that has the display open, and shows a crash."""
    console = ["--env", "SOIL_CONSOLE=display", "--"]
    for display in DISPLAYS:
        child, monitor = start(context, display, *console, "turns", program=PRINTS)
        for _ in range(3):
            child.wait_line("after")
        assert monitor.wait_event("STOP")
        shown = dump(context, monitor, "screen")
        size = len(shown[0]) // 3, len(shown)
        assert shown == on_virtio(context, size, "turns"), display
        child.stop()
    child, monitor = start(context, "ramfb", *console, "crashes", program=PRINTS)
    child.wait_line("soil: crash")
    assert monitor.wait_event("STOP")
    shown = dump(context, monitor, "screen")
    assert shown[:13] == on_virtio(context, (len(shown[0]) // 3, len(shown)), "crashes")[:13]
    child.stop()


@test()
def bad_frame_buffers(context):
    """A frame buffer of impossible numbers, or in memory of the program, isn't used, and a line has
    the reason."""
    for value, reason in (
        ("0xc0000000,800x600,799,bgr", "an impossible size"),
        ("0xc0000000,800x600,4294967295,bgr", "an impossible size"),
        ("0xc0000002,800x600,800,bgr", "its address isn't that of video memory"),
        ("0x2000000,800x600,800,bgr", "its address isn't that of video memory"),
        ("0xfffffffffff00000,800x600,800,bgr", "its address isn't that of video memory"),
        ("none", "not ADDRESS,WIDTHxHEIGHT,STRIDE"),
    ):
        options = ["--env", f"SOIL_FRAMEBUFFER={value}"]
        child = context.soil(PICTURES, "q35", options=options, stdin=subprocess.PIPE)
        child.wait_line("ready")
        say(child, "draw display0 64 64")
        status, text = outcome(child, context)
        assert status == 2 and f"SOIL_FRAMEBUFFER: {reason}" in text, clean(text)
        assert "no display: give the machine one" in text, clean(text)
