"""Displays, keyboards and pointers: pictures to the pixel, by QEMU's monitor and by
`--screenshot`."""

import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib

from cases.network import in_every_form
from harness.console import PATIENCE
from harness.context import ARCH, MACHINES, QEMU, ROOT, Skip, clean, outcome
from harness.qmp import Monitor
from harness.runner import test
from harness.vnc import CURSOR, RAW, SIZE, Vnc

PICTURES = "tests/programs/display/pictures.exe"
TYPING = "tests/programs/display/typing.exe"


def picture(width, height, inverse=None):
    """The rows of what pictures.exe draws, inverted in a rectangle."""
    rows = []
    for y in range(height):
        row = bytearray()
        for x in range(width):
            pixel = [x * 7 & 255, y * 5 & 255, x + y & 255]
            if inverse:
                left, top, wide, high = inverse
                if left <= x < left + wide and top <= y < top + high:
                    pixel = [255 - value for value in pixel]
            row += bytes(pixel)
        rows.append(bytes(row))
    return rows


def read_png(path):
    """The rows of a PNG of 8 bits for red, green and blue (PNG 1.2, 6 and 9)."""
    with open(path, "rb") as file:
        data = file.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", data[:8]
    at, packed, width, height = 8, b"", 0, 0
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        chunk = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", chunk[:10])
            assert (depth, colour) == (8, 2)
        elif kind == b"IDAT":
            packed += chunk
        at += 12 + length
    raw = zlib.decompress(packed)
    rows, before, stride = [], bytes(3 * width), 3 * width + 1
    for y in range(height):
        method, row = raw[y * stride], bytearray(raw[y * stride + 1 : (y + 1) * stride])
        for i, value in enumerate(row):
            left, corner = (row[i - 3], before[i - 3]) if i >= 3 else (0, 0)
            up = before[i]
            guess = left + up - corner
            nearest = min((left, up, corner), key=lambda each: abs(guess - each))
            row[i] = value + (0, left, up, (left + up) // 2, nearest)[method] & 255
        before = bytes(row)
        rows.append(before)
    return rows


def dump(context, monitor, display):
    """The picture on a machine's display, from QEMU."""
    path = context.path(f"{display}.ppm")
    monitor.ask("screendump", filename=path, device=display, head=0)
    with open(path, "rb") as file:
        head, size, levels, pixels = file.read().split(b"\n", 3)
    width, height = map(int, size.split())
    assert (head, levels, len(pixels)) == (b"P6", b"255", 3 * width * height)
    return [pixels[3 * width * y : 3 * width * (y + 1)] for y in range(height)]


def monitored(context):
    """Options that open a monitor, and its path."""
    path = context.path("qmp")
    return [f"--qemu-arg={word}" for word in ("-qmp", f"unix:{path},server=on,wait=off")], path


def say(child, line):
    child.process.stdin.write(f"{line}\n".encode())
    child.process.stdin.flush()


def tell(child, line):
    seen = len(child.lines)
    say(child, line)
    child.wait_line(f"done {line}", after=seen)


def await_size(child, size):
    """Asks the program for changes until the first display's size begins with this: a window may
    have resized by itself before."""
    wanted = f"display0 true {size}"
    while not any(wanted in line for _, line in child.lines):
        tell(child, "change display0")


def start(context, form, *options):
    child = context.soil(PICTURES, form, options=options, stdin=subprocess.PIPE)
    child.wait_line("ready")
    return child


@in_every_form()
def displays_and_their_pictures(context, form):
    """Two displays show the drawing, to the pixel; a damaged rectangle sends no more than itself;
    another size is another mode. The screenshot is the first display's at the end."""
    file = context.path("end.png")
    options, qmp = ([], None) if form == "process" else monitored(context)
    sizes = "--display-size=640x480,320x200"
    child = start(context, form, "--display=none", sizes, f"--screenshot={file}", *options)
    tell(child, "sizes")
    found = re.findall(r"(display\d) true (\d+x\d+)", child.text)
    assert found == [("display0", "640x480"), ("display1", "320x200")], child.text
    monitor = None if form == "process" else Monitor(qmp)
    rectangle = (10, 20, 30, 40)
    for line, display, expected in (
        ("draw display0 160 120", "display0", picture(160, 120)),
        ("draw display1 320 200", "display1", picture(320, 200)),
        ("draw display0 640 480", "display0", picture(640, 480)),
        ("damage display0 10 20 30 40", "display0", picture(640, 480, rectangle)),
    ):
        tell(child, line)
        if monitor:
            assert dump(context, monitor, display) == expected, line
    say(child, "end")
    assert outcome(child, context)[0] == 0, clean(child.text)
    assert read_png(file) == picture(640, 480, rectangle)


def padded(rows, width, height):
    """A picture in the upper left corner of a larger black one."""
    black = bytes(3 * width)
    return [row + black[len(row) :] for row in rows] + [black] * (height - len(rows))


@test()
def displays_without_virtio(context):
    """bochs-display and standard VGA, the displays of other launchers, show the drawing, to the
    pixel: modes, damage, alternating frames, after a close, and a size that is no mode. A virtio
    display takes precedence."""
    for device in ("bochs-display", "VGA", "secondary-vga"):
        options, qmp = monitored(context)
        card = f"{device},id=screen,xres=800,yres=600"
        options += [f"--qemu-arg={word}" for word in ("-device", card)]
        child = start(context, "q35", *options)
        monitor = Monitor(qmp)
        tell(child, "sizes")
        assert re.findall(r"(display\d) true (\d+x\d+)", child.text) == [("display0", "800x600")]
        whole = picture(640, 480)
        for line, expected in (
            ("draw display0 640 480", whole),
            ("damage display0 10 20 30 40", picture(640, 480, (10, 20, 30, 40))),
            ("draw display0 640 480", whole),
            ("draw display0 1280 720", picture(1280, 720)),
            ("draw display0 99 50", padded(picture(99, 50), 104, 64)),
            ("close display0", padded(picture(99, 50), 104, 64)),
            ("draw display0 800 600", picture(800, 600)),
        ):
            tell(child, line)
            assert dump(context, monitor, "screen") == expected, f"{device}: {line}"
        tell(child, "frames 100")
        tell(child, "draw display0 64 64")
        assert dump(context, monitor, "screen") == picture(64, 64), device
        # More than the 16 MiB of video memory.
        say(child, "draw display0 4096 2160")
        status, text = outcome(child, context)
        assert status == 2 and "video memory" in text, clean(text)
    both = ["--qemu-arg=-device", "--qemu-arg=bochs-display"]
    child = start(context, "q35", "--display=none", "--display-size=320x200", *both)
    tell(child, "sizes")
    assert re.findall(r"(display\d) true (\d+x\d+)", child.text) == [("display0", "320x200")]
    say(child, "end")
    assert outcome(child, context)[0] == 0, clean(child.text)


@in_every_form()
def many_frames_leave_memory_as_it_was(context, form):
    """10 000 alternating frames of two buffers, and 50 mode changes."""
    child = start(context, form, "--display=none", "--display-size=320x200")

    def memory():
        """Queries until ten answers in a row are no lower: a released buffer is freed only after
        the device's answer, and by the collection after that."""
        least, again = None, 0
        while again < 10:
            tell(child, "memory")
            now = int(re.findall(r"memory (\d+)", child.text)[-1])
            least, again = (now, 0) if least is None or now < least else (least, again + 1)
            time.sleep(0.02)
        return least

    def work(frames):
        tell(child, f"frames {frames}")
        for size in range(50):
            tell(child, f"draw display0 {200 + size} 200")

    work(1000)
    held = [memory()]
    # A leak grows in each round; the collector's heap may take a page more once.
    while len(held) < 4 and (len(held) < 2 or held[-1] - held[-2] > 64 << 10):
        work(10000)
        held.append(memory())
    more = held[-1] - held[-2]
    if form == "process":
        context.bound("KiB more in memory", more >> 10, 4096)
    else:
        assert more <= 64 << 10, held


@in_every_form()
def no_display(context, form):
    """Without a display the error names the option."""
    for program, words in ((PICTURES, "draw display0 16 16"), (TYPING, "")):
        child = context.soil(program, form, stdin=subprocess.PIPE)
        if words:
            child.wait_line("ready")
            say(child, words)
        status, text = outcome(child, context)
        assert status == 2 and "soil run --display" in text, text


@test()
def nothing_to_picture(context):
    """A process that has shown nothing has no picture, and reports it."""
    file = context.path("none.png")
    child = start(context, "process", f"--screenshot={file}")
    say(child, "end")
    status, text = outcome(child, context)
    assert status == 74 and "has shown nothing on its first display" in text, text
    assert not os.path.exists(file)


def key(code, down):
    return {"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": code}}}


def axis(name, value):
    return {"type": "abs", "data": {"axis": name, "value": value}}


def button(name, down):
    return {"type": "btn", "data": {"down": down, "button": name}}


@test()
def keys_and_pointer(context):
    """Input events from QEMU's monitor arrive in order, and as text."""
    for form in MACHINES:
        options, qmp = monitored(context)
        child = context.soil(TYPING, form, options=["--display=none", *options])
        child.wait_line("ready")
        monitor = Monitor(qmp)
        expected = []
        for names in (["h"], ["shift", "i"], ["ret"], ["shift", "1"]):
            events = [key(name, True) for name in names]
            events += [key(name, False) for name in reversed(names)]
            codes = [{"h": 35, "i": 23, "shift": 42, "ret": 28, "1": 2}[name] for name in names]
            expected += [f"key +{code}" for code in codes]
            expected += [f"key -{code}" for code in reversed(codes)]
            for event in events:
                monitor.ask("input-send-event", events=[event])
        # Another device's events may overtake these, whose last is the second release of shift.
        while sum(line == "key -42" for _, line in child.lines) < 2:
            child.wait_line("", after=len(child.lines))
        for x, y in ((0, 0), (0x7FFF, 0x3FFF), (0x2000, 0x7FFF)):
            monitor.ask("input-send-event", events=[axis("x", x), axis("y", y)])
            expected.append(f"position {x / 0x7FFF:.3f} {y / 0x7FFF:.3f}")
        for down in (True, False):
            monitor.ask("input-send-event", events=[button("left", down)])
            expected.append(f"key {'+' if down else '-'}272")
        monitor.ask("input-send-event", events=[button("wheel-up", True)])
        monitor.ask("input-send-event", events=[button("wheel-up", False)])
        expected.append("wheel 0 1")
        # Another device's events may overtake these.
        child.wait_line("wheel 0 1")
        for down in (True, False):
            monitor.ask("input-send-event", events=[key("esc", down)])
            expected.append(f"key {'+' if down else '-'}1")
        status, text = outcome(child, context)
        lines = text.split("ready\n", 1)[1].splitlines()
        # QEMU reports a wheel as a button, too.
        lines = [line for line in lines if not re.fullmatch(r"key .3\d\d", line)]
        assert status == 0 and lines == [*expected, "typed hI!"], text


def touch(kind, slot, finger, name="x", value=0):
    """A step of a finger (InputMultiTouchEvent of QEMU's ui.json, since 8.1)."""
    data = {"type": kind, "slot": slot, "tracking-id": finger, "axis": name, "value": value}
    return {"type": "mtt", "data": data}


@test()
def fingers(context):
    """Two fingers on a touch screen of QEMU: where each begins, moves and ends."""
    known = context.run(QEMU, "-device", "help").stdout
    if "virtio-multitouch-device" not in known:
        raise Skip("this QEMU has no touch screen: 8.1 is the first one")
    steps = [
        ("begin", 0, 7, 0x1000, 0x2000, "touch +7 0.125 0.250"),
        ("begin", 1, 8, 0x4000, 0x6000, "touch +8 0.500 0.750"),
        ("update", 0, 7, 0x2000, 0x4000, "touch =7 0.250 0.500"),
        ("end", 1, -1, None, None, "touch -8 0.500 0.750"),
        ("end", 0, -1, None, None, "touch -7 0.250 0.500"),
    ]
    for form, kind in zip(MACHINES, ("device", "pci")):
        options, qmp = monitored(context)
        device = f"virtio-multitouch-{kind},id=touch"
        options += ["--qemu-arg=-device", f"--qemu-arg={device}", "--display=none"]
        child = context.soil(TYPING, form, options=options)
        child.wait_line("ready")
        monitor = Monitor(qmp)
        for what, slot, finger, x, y, line in steps:
            events = [touch(what, slot, finger)]
            if x is not None:
                events += [touch("data", slot, finger, "x", x), touch("data", slot, finger, "y", y)]
            monitor.ask("input-send-event", events=events)
            child.wait_line(line)
        for down in (True, False):
            monitor.ask("input-send-event", events=[key("esc", down)])
        status, text = outcome(child, context)
        found = re.findall(r"touch .*", text)
        assert status == 0 and found == [step[5] for step in steps], text


@test()
def a_machine_that_stands_still(context):
    """A machine that is stopped in the middle of its frames continues them, and takes keys."""
    for form in MACHINES:
        options, qmp = monitored(context)
        options += ["--display=none", "--display-size=320x200"]
        child = start(context, form, *options)
        tell(child, "sizes")
        monitor = Monitor(qmp)
        say(child, "frames 3000")
        for _ in range(10):
            monitor.ask("stop")
            assert monitor.ask("query-status")["status"] == "paused"
            monitor.ask("cont")
        child.wait_line("done frames 3000")
        tell(child, "draw display0 320 200")
        assert dump(context, monitor, "display0") == picture(320, 200)
        say(child, "end")
        assert outcome(child, context)[0] == 0, child.text

        options, qmp = monitored(context)
        child = context.soil(TYPING, form, options=["--display=none", *options])
        child.wait_line("ready")
        monitor = Monitor(qmp)
        for command in ("stop", "cont"):
            monitor.ask(command)
        for down in (True, False):
            monitor.ask("input-send-event", events=[key("esc", down)])
        assert outcome(child, context)[0] == 0, child.text


class Desktop:
    """An X server in memory, with xdotool as its user."""

    def __init__(self, context):
        for program in ("Xvfb", "xdotool"):
            if not shutil.which(program):
                raise Skip(f"{program} is not installed: apt-get install xvfb xdotool")
        # Key repeat is off: it would begin where xdotool isn't scheduled before the release. The
        # server's socket name is shared by all network namespaces, of which each test has its own:
        # a server that picks a free number would take one of another test's.
        words = [
            f":{random.randrange(1000, 50000)}",
            "-displayfd",
            "1",
            "-r",
            "-screen",
            "0",
            "1024x768x24",
            "-nolisten",
            "tcp",
        ]
        words += ["-fbdir", context.directory]
        server = context.child(["Xvfb", *words])
        numbers = []
        while not numbers:
            assert server.process.poll() is None, server.text
            server.drain(0.05)
            # Its warnings go there, too.
            numbers = [line.strip() for _, line in server.lines if line.strip().isdigit()]
        self.context = context
        self.environment = {"DISPLAY": f":{numbers[0]}", "WAYLAND_DISPLAY": ""}

    def do(self, *words):
        done = self.context.run("xdotool", *words, env={**os.environ, **self.environment})
        return done.stdout.split()

    def window(self, name):
        """The window with this title, once visible."""
        return self.do("search", "--sync", "--onlyvisible", "--name", name)[-1]

    def close(self, window):
        """Asks a window to close, as its frame does (ICCCM, 4.2.8.1)."""
        words = [sys.executable, os.path.join(ROOT, "tests", "harness", "close_window.py"), window]
        self.context.run(*words, env={**os.environ, **self.environment})

    def screen(self):
        """The screen (XWDFile.h): its size, the bytes of a row, and its pixels of four bytes."""
        with open(self.context.path("Xvfb_screen0"), "rb") as file:
            data = file.read()
        head = struct.unpack(">25I", data[:100])
        length, width, height, bits, stride, colours = *head[:1], *head[4:6], *head[11:13], head[19]
        assert bits == 32, head
        return width, height, stride, memoryview(data)[length + 12 * colours :]

    def rows(self):
        """The rows of the screen, three bytes for each pixel."""
        width, height, stride, pixels = self.screen()
        rows = (bytes(pixels[y * stride : y * stride + 4 * width]) for y in range(height))
        return [b"".join(row[n : n + 3][::-1] for n in range(0, len(row), 4)) for row in rows]

    def await_pixel(self, window, x, y, wanted):
        """Waits until this place in the window has this colour."""
        until = time.monotonic() + PATIENCE
        while True:
            words = self.do("getwindowgeometry", "--shell", window)
            place = dict(word.split("=") for word in words)
            _, _, stride, pixels = self.screen()
            at = (int(place["Y"]) + y) * stride + 4 * (int(place["X"]) + x)
            if bytes(pixels[at : at + 3])[::-1] == wanted:
                return
            assert time.monotonic() < until, f"({x}, {y}) of the window doesn't show it"
            time.sleep(0.02)

    def await_picture(self, rows):
        """Waits until the screen shows these rows somewhere."""
        until = time.monotonic() + PATIENCE
        while not shows(self.rows(), rows):
            assert time.monotonic() < until, "the screen doesn't show it"
            time.sleep(0.1)


def shows(screen, rows):
    """Whether a larger picture contains these rows of pixels."""
    for y, row in enumerate(screen[: len(screen) - len(rows) + 1]):
        x = row.find(rows[0])
        if x >= 0 and all(
            line[x : x + len(wanted)] == wanted
            for line, wanted in zip(screen[y:], rows, strict=False)
        ):
            return True
    return False


def free_display(index=0):
    """The number of a VNC display."""
    return 10_000 + os.getpid() % 20_000 + 20 * index


@test()
def a_process_over_vnc(context):
    """Two displays on two ports: pictures to the pixel, damage that is no more than itself, other
    sizes, a cursor; the screenshot is the first one's."""
    number, file = free_display(), context.path("vnc.png")
    sizes = "--display-size=320x200,64x64"
    child = start(context, "process", f"--display=vnc=:{number}", sizes, f"--screenshot={file}")
    tell(child, "draw display0 320 200")
    tell(child, "draw display1 64 64")
    first, second = Vnc(number), Vnc(number + 1)
    first.await_picture(picture(320, 200))
    second.await_picture(picture(64, 64))
    assert (first.name, second.name) == (b"pictures.exe (0)", b"pictures.exe (1)")
    say(child, "damage display0 10 20 30 40")
    parts = first.await_picture(picture(320, 200, (10, 20, 30, 40)))
    assert parts == [(RAW, 10, 20, 30, 40)], parts
    say(child, "draw display0 100 50")
    assert (SIZE, 0, 0, 100, 50) in first.await_picture(picture(100, 50))
    child.wait_line("done draw display0 100 50")
    say(child, "cursor display0")
    while first.cursor is None:
        first.request()
        parts = first.update()
    assert parts == [(CURSOR, 3, 5, 64, 64)], parts
    assert first.cursor == bytes((127, 0, 32, 127)) * 4096, first.cursor[:4]
    for wanted, size in (((800, 608), "800x608"), ((10, 9), "16x16")):
        first.resize(*wanted)
        await_size(child, size)
    # A client more has all at once.
    Vnc(number).await_picture(picture(100, 50))
    say(child, "end")
    assert outcome(child, context)[0] == 0, child.text
    assert read_png(file) == picture(100, 50)


@test()
def keys_and_pointer_over_vnc(context):
    """Keys by scan code or symbol, positions, buttons and wheels arrive in order, and as text; a
    client's end releases its keys."""
    number = free_display()
    options = [f"--display=vnc=:{number}", "--display-size=320x240"]
    child = context.soil(TYPING, "process", options=options)
    child.wait_line("ready")
    vnc = Vnc(number)
    expected = []
    for code, symbol, down, key in (
        (0x23, 0, True, "+35"),
        (0x23, 0, True, None),
        (0x23, 0, False, "-35"),
        (0x2A, 0, True, "+42"),
        (0, ord("I"), True, "+23"),
        (0, ord("I"), False, "-23"),
        (0x2A, 0, False, "-42"),
        (0xB8, 0, True, "+100"),
        (0xB8, 0, False, "-100"),
    ):
        vnc.key(code, down, symbol)
        expected += [f"key {key}"] if key else []
    for x, y, buttons, lines in (
        (0, 0, 0, ["position 0.000 0.000"]),
        (319, 239, 1, ["position 1.000 1.000", "key +272"]),
        (319, 239, 4, ["key -272", "key +273"]),
        (319, 239, 8, ["key -273", "wheel 0 1"]),
        (319, 239, 0, []),
        (319, 239, 64, ["wheel 1 0"]),
    ):
        vnc.pointer(x, y, buttons)
        expected += lines
    vnc.key(0x1D, True)
    child.wait_line("key +29")
    vnc.socket.close()
    child.wait_line("key -29")
    vnc = Vnc(number)
    vnc.key(0, True, 0xFF1B)
    vnc.key(0, False, 0xFF1B)
    expected += ["key +29", "key -29", "key +1", "key -1"]
    status, text = outcome(child, context)
    lines = text.split("ready\n", 1)[1].splitlines()
    assert status == 0 and lines == [*expected, "typed hI"], text


@test()
def clients_that_do_harm(context):
    """A client that doesn't read, clients that send anything, and more of them than a display takes:
    the program draws on, and another client sees it."""
    number = free_display()
    options = [f"--display=vnc=:{number}", "--display-size=1280x800"]
    child = start(context, "process", *options)
    tell(child, "draw display0 1280 800")
    slow = Vnc(number)
    for incremental in (False, True, True):
        slow.request(incremental)
    # It is waited for once, for a second.
    tell(child, "frames 1000")
    tell(child, "draw display0 320 200")
    chance = random.Random(1)
    for greeting in (b"", b"RFB 003.008\n\x01\x01", b"RFB 003.003\n\x01"):
        for _ in range(10):
            bad = socket.create_connection(("127.0.0.1", 5900 + number), timeout=PATIENCE)
            bad.sendall(greeting + chance.randbytes(5000))
            bad.close()
    silent = [
        socket.create_connection(("127.0.0.1", 5900 + number), timeout=PATIENCE) for _ in range(10)
    ]
    Vnc(number).await_picture(picture(320, 200))
    say(child, "end")
    assert outcome(child, context)[0] == 0, child.text
    assert len(silent) == 10


@test()
def a_port_that_is_taken(context):
    """The program isn't started, and the error names the display."""
    number = free_display()
    with socket.create_server(("127.0.0.1", 5901 + number)):
        options = [f"--display=vnc=:{number}", "--display-size=64x64,64x64"]
        child = context.soil(PICTURES, "process", options=options)
        status, text = outcome(child, context)
    assert status == 125 and f"--display vnc=:{number + 1}" in text, text
    assert "ready" not in text.split(), text


def viewers():
    """Skips a test where TigerVNC's viewer is missing."""
    if not any(map(shutil.which, ("xtigervncviewer", "vncviewer"))):
        raise Skip("TigerVNC's viewer is not installed: apt-get install tigervnc-viewer")


@test()
def a_window_of_a_process(context):
    """TigerVNC's viewer under an X server: the picture, another size, the window's size, keys in
    order and as text, and the end when the window closes."""
    viewers()
    desktop = Desktop(context)
    file = context.path("window.png")
    options = ["--display=window", "--display-size=320x240", f"--screenshot={file}"]
    child = context.soil(
        PICTURES, "process", options=options, stdin=subprocess.PIPE, env=desktop.environment
    )
    child.wait_line("ready")
    tell(child, "draw display0 320 240")
    window = desktop.window("pictures.exe")
    desktop.await_picture(picture(320, 240))
    tell(child, "draw display0 200 120")
    desktop.await_picture(picture(200, 120))
    desktop.do("windowsize", window, "400", "300")
    await_size(child, "400x300")
    say(child, "end")
    assert outcome(child, context)[0] == 0, child.text
    assert read_png(file) == picture(200, 120)

    options = ["--display=window", "--display-size=320x240"]
    child = context.soil(TYPING, "process", options=options, env=desktop.environment)
    child.wait_line("ready")
    assert "device pointer of display0 keys=false axes=2 leds=0\n" in child.text, child.text
    window = desktop.window("typing.exe")
    desktop.do("windowfocus", window)
    desktop.do("mousemove", "--window", window, "319", "239", "click", "1")
    child.wait_line("position 1.000 1.000")
    child.wait_line("key -272")
    desktop.do("key", "h", "shift+i", "F8", "Escape")
    status, text = outcome(child, context)
    found = re.findall(r"key .\d+", text)
    expected = "+272 -272 +35 -35 +42 +23 -42 -23 +66 -66 +1 -1"
    assert status == 0 and found == [f"key {code}" for code in expected.split()], text
    assert text.endswith("typed hI\n"), text

    child = context.soil(TYPING, "process", options=options, env=desktop.environment)
    child.wait_line("ready")
    desktop.close(desktop.window("typing.exe"))
    assert outcome(child, context)[0] == 143, child.text


@test()
def a_window_of_a_process_that_stands_still(context):
    """A stopped process doesn't read pointer events: its window closes nonetheless."""
    viewers()
    desktop = Desktop(context)
    options = ["--display=window", "--display-size=320x240"]
    child = context.soil(TYPING, "process", options=options, env=desktop.environment)
    child.wait_line("ready")
    window = desktop.window("typing.exe")
    program = int(context.run("pgrep", "-P", child.process.pid, "typing.exe").stdout)
    os.kill(program, signal.SIGSTOP)
    places = (("mousemove", "--window", window, str(x), str(x)) for x in range(200))
    desktop.do(*(word for place in places for word in place))
    desktop.close(window)
    until = time.monotonic() + PATIENCE
    words = ["xdotool", "search", "--onlyvisible", "--name", "typing.exe"]
    environment = {**os.environ, **desktop.environment}
    while context.run(*words, check=False, env=environment).stdout.strip():
        assert time.monotonic() < until, "the window is still there"
        time.sleep(0.1)
    os.kill(program, signal.SIGCONT)
    assert outcome(child, context)[0] == 143, child.text


@test()
def a_window_that_can_not_be_opened(context):
    """The program isn't started, and the error names the missing requirement and the
    alternatives."""
    nowhere = {"DISPLAY": ":0", "WAYLAND_DISPLAY": "", "PATH": context.directory}
    child = context.soil(PICTURES, "process", options=["--display=window"], env=nowhere)
    status, text = outcome(child, context)
    assert status == 125 and "tigervnc-viewer" in text and "vnc=:0" in text, text
    assert "ready" not in text, text
    viewers()
    unknown = {"DISPLAY": ":65000", "WAYLAND_DISPLAY": ""}
    child = context.soil(PICTURES, "process", options=["--display=window"], env=unknown)
    status, text = outcome(child, context)
    assert status == 125 and "display: :65000" in text and "vnc=:0" in text, text
    assert "ready" not in text, text


@test()
def a_pointer_for_each_display(context):
    """Each window of a process has its own pointer, whose name ends with the display's."""
    options = ["--display=none", "--display-size=64x64,32x32"]
    child = context.soil(TYPING, "process", options=options)
    child.wait_line("ready")
    names = re.findall(r"device (.*) keys", child.text)
    assert names == ["keyboard of the window", "pointer of display0", "pointer of display1"], names
    child.process.terminate()
    assert outcome(child, context)[0] == 143, child.text


@test()
def a_window_of_a_machine(context):
    """The same for QEMU's window, whose end ends the machine."""
    if "gtk" not in context.run(QEMU, "-display", "help").stdout.split():
        raise Skip("QEMU has no windows: apt-get install qemu-system-gui")
    desktop = Desktop(context)
    options = ["--display=window"]
    for form in MACHINES:
        child = context.soil(
            PICTURES, form, options=options, stdin=subprocess.PIPE, env=desktop.environment
        )
        child.wait_line("ready")
        window = desktop.window("pictures.exe")
        # QEMU scales other pictures to its initial size.
        tell(child, "draw display0 640 480")
        desktop.await_picture(picture(640, 480))
        desktop.do("windowsize", window, "700", "600")
        # The window has a menu, too.
        await_size(child, "700x")
        say(child, "end")
        assert outcome(child, context)[0] == 0, child.text

        child = context.soil(TYPING, form, options=options, env=desktop.environment)
        child.wait_line("ready")
        window = desktop.window("typing.exe")
        desktop.do("windowfocus", window, "mousemove", "--window", window, "200", "200")
        child.wait_line("position")
        desktop.do("click", "1")
        child.wait_line("key -272")
        desktop.do("key", "h", "shift+i", "Escape")
        status, text = outcome(child, context)
        found = re.findall(r"key .\d+", text)
        expected = "+272 -272 +35 -35 +42 +23 -42 -23 +1 -1"
        assert status == 0 and found == [f"key {code}" for code in expected.split()], text

        child = context.soil(TYPING, form, options=options, env=desktop.environment)
        child.wait_line("ready")
        desktop.close(desktop.window("typing.exe"))
        status, text = outcome(child, context)
        assert status == 126 and "its window was closed" in text, text


@test()
def a_window_without_a_desktop(context):
    """The error names the other options."""
    environment = {"DISPLAY": "", "WAYLAND_DISPLAY": ""}
    child = context.soil(PICTURES, "process", options=["--display=window"], env=environment)
    status, text = outcome(child, context)
    assert status == 125 and "needs a desktop" in text and "--display none" in text, text
    child = context.soil(PICTURES, "microvm", options=["--display=window"], env=environment)
    status, text = outcome(child, context)
    assert status == 125 and "opens no window" in text and "--display vnc=:0" in text, text


@test()
def a_window_that_is_resized(context):
    """The program gets the size that a viewer requests, and can show a picture of it, however
    small."""
    for index, form in enumerate(MACHINES):
        number = free_display(index)
        child = start(context, form, f"--display=vnc=:{number}", "--display-size=640x480")
        tell(child, "draw display0 640 480")
        vnc = Vnc(number)
        vnc.resize(800, 608)
        await_size(child, "800x608")
        vnc.resize(10, 9)
        await_size(child, "16x16")
        tell(child, "draw display0 16 16")
        say(child, "end")
        assert outcome(child, context)[0] == 0, child.text


VARIANTS = {
    "microvm": [
        "",
        "event_idx=off",
        "indirect_desc=off",
        "event_idx=off,indirect_desc=off",
        "edid=off",
    ],
    "q35": ["vectors=0", "event_idx=off,indirect_desc=off", "edid=off", "max_outputs=2"],
}
if ARCH:
    VARIANTS = {"virt": [*VARIANTS["microvm"], "max_outputs=2"]}


@test()
def adapters_of_all_kinds(context):
    """Graphics adapters with these options, each of which disables a part of the protocol, show
    pictures; another scan-out is another display."""
    file = context.path("end.png")
    for machine, variants in VARIANTS.items():
        for variant in variants:
            options = [f"--device-option=gpu:{each}" for each in variant.split(",") if each]
            options += ["--display=none", "--display-size=320x200", f"--screenshot={file}"]
            child = start(context, machine, *options)
            tell(child, "sizes")
            assert "display0 true 320x200" in child.text, f"{variant}: {child.text}"
            assert ("display1" in child.text) == (variant == "max_outputs=2"), child.text
            tell(child, "frames 100")
            tell(child, "draw display0 160 120")
            say(child, "end")
            assert outcome(child, context)[0] == 0, f"{variant}: {clean(child.text)}"
            assert read_png(file) == picture(160, 120), variant
            os.remove(file)
