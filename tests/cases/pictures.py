"""The examples with displays, and the program of the book's chapter on them: their pictures, by
`--screenshot`.

With SOIL_PICTURES=DIR in the environment that folder keeps the machines' pictures: those of the
examples' READMEs and of the chapter.
"""

import itertools
import os
import shutil
import time

from cases.display import Desktop, Vnc, axis, button, dump, key, monitored, read_png
from cases.network import in_every_form
from cases.service import ask
from harness.console import PATIENCE
from harness.context import outcome
from harness.qmp import Monitor

TERRARIUM = "examples/terrarium/main.exe"
DASHBOARD = "examples/dashboard/main.exe"
PAD = "docs/book/code/display/pad.exe"
PAPER, INK = bytes((0xFF, 0xF8, 0xE7)), bytes((0x1F, 0x3A, 0x5F))
GROUND, SUN, METER = bytes((0x4A, 0x35, 0x24)), bytes((0xFF, 0xE2, 0x7A)), bytes((0x4F, 0xB3, 0xFF))


def pixel(rows, x, y):
    return rows[y][3 * x : 3 * x + 3]


def start(context, program, form, size, *arguments):
    """The program with a display and a network; its QMP socket, or None, and its picture's path."""
    file, tap = context.path("picture.png"), context.tap()
    options, qmp = ([], None) if form == "process" else monitored(context)
    options = [*options, "--display=none", f"--display-size={size}", f"--screenshot={file}"]
    child = context.soil(program, form, *arguments, options=options, tap=tap)
    child.wait_line("listening on")
    return child, tap.guest, qmp, file


def shown(child, context, form, file, name):
    """The picture after the program's end."""
    child.signal(15)
    return ended(child, context, form, file, name)


def ended(child, context, form, file, name):
    """The picture of a program that ends."""
    assert outcome(child, context)[0] in (0, 143), child.text
    if (folder := os.environ.get("SOIL_PICTURES")) and form == "microvm":
        shutil.copyfile(file, os.path.join(folder, name))
    return read_png(file)


def report(host):
    status, page = ask(host, "GET", "/")
    assert status == 200, page
    return {name: float(value) for name, value in map(str.split, page.decode().splitlines())}


def reach(context, host, name, least):
    """Waits until the program's page reports that many."""
    while report(host)[name] < least:
        assert context.remaining() > 5, f"{name} {report(host)[name]}, wanted {least}"
        time.sleep(0.1)


@in_every_form(limit=60)
def terrarium_lives(context, form):
    """Plants grow, a click and a request plant seeds, packets rain, the sun shines, and the network
    serves meanwhile."""
    # Starts at noon.
    child, host, qmp, file = start(context, TERRARIUM, form, "640x480", "86400", "12")
    before = report(host)
    assert before["plants"] == 5, before
    for _ in range(3):
        assert ask(host, "POST", "/seed") == (200, b"planted\n")
    plants = 8
    if qmp:
        monitor = Monitor(qmp)
        for down in (True, False):
            events = [axis("x", 0x4000), axis("y", 0x4000), button("left", down)]
            monitor.ask("input-send-event", events=events)
        plants = 9
    reach(context, host, "plants", plants)
    assert report(host)["plants"] == plants
    # Two passes over the scene, to see everything that has grown.
    reach(context, host, "frames", report(host)["frames"] + 200)
    assert report(host)["packets"] > before["packets"]
    rows = shown(child, context, form, file, "terrarium.png")
    assert pixel(rows, 320, 470) == GROUND
    sun = sum(pixel(rows, x, y) == SUN for y in range(40, 110) for x in range(270, 370))
    assert sun > 900, sun
    red, _, blue = pixel(rows, 5, 5)
    assert blue > red, "no sky"
    green = sum(row[n + 1] > row[n + 2] + 20 for row in rows[100:420] for n in range(0, 1920, 3))
    assert green > 500, f"{green} pixels of plants"


@in_every_form(limit=60)
def dashboard_shows_its_figures(context, form):
    """The page is drawn in the display's size, and the chart has its server's requests."""
    child, host, _, file = start(context, DASHBOARD, form, "800x480")
    for _ in range(40):
        report(host)
    status, page = ask(host, "GET", "/metrics")
    assert status == 200 and b"dashboard_requests_total 41" in page, page
    reach(context, host, "pages", report(host)["pages"] + 3)
    rows = shown(child, context, form, file, "dashboard.png")
    assert (len(rows), len(rows[0])) == (480, 3 * 800)
    assert any(METER in row for row in rows[48:250]), "no gauge of memory"
    chart = bytes((0xB7, 0x9C, 0xFF))
    # Below the legend, which has the same colour.
    height = [
        y for y in range(320, 470) if any(pixel(rows, x, y) == chart for x in range(420, 770))
    ]
    assert height and max(height) - min(height) > 40, height


class Hand:
    """A user at a machine's keyboard and tablet, by its monitor."""

    def __init__(self, qmp):
        self.monitor, self.vnc = Monitor(qmp), Vnc(1)

    def send(self, *events):
        self.monitor.ask("input-send-event", events=list(events))

    def resize(self, width, height):
        self.vnc.resize(width, height)

    def move(self, x, y):
        self.send(axis("x", round(x * 0x7FFF)), axis("y", round(y * 0x7FFF)))

    def press(self, down):
        self.send(button("left", down))

    def type(self, *names):
        for name in names:
            # In one command: the program repeats a held key.
            self.send(key(name, True), key(name, False))

    def end(self, context, *seen):
        """Escape, once this text appears: the key may overtake the pointer."""

        def shows():
            rows = dump(context, self.monitor, "display0")
            # The program reports a page before the machine shows it in its size.
            return len(rows) == 400 and all(pixel(rows, x, y) == INK for x, y in seen)

        until = time.monotonic() + PATIENCE
        while not shows():
            assert time.monotonic() < until, "the page doesn't show it"
        self.send(key("esc", True))


class HandAtWindow:
    """The same at the window of a process."""

    def __init__(self, desktop, size):
        self.desktop, self.window, self.size = desktop, desktop.window("pad.exe"), size
        self.place, self.pressed = (0, 0), False
        desktop.do("windowfocus", self.window)

    def resize(self, width, height):
        self.desktop.do("windowsize", self.window, str(width), str(height))
        self.size = (width, height)

    def move(self, x, y):
        at = (str(round(part * (all - 1))) for part, all in zip((x, y), self.size, strict=True))
        self.desktop.do("mousemove", "--window", self.window, *at)
        if self.pressed:
            # Until its line is drawn: a viewer that is busy passes on the last of several moves.
            parts = zip(self.place, (x, y), self.size, strict=True)
            middle = (round((2 * before + now) * all / 3) for before, now, all in parts)
            self.desktop.await_pixel(self.window, *middle, INK)
        self.place = (x, y)

    def press(self, down):
        self.pressed = down
        self.desktop.do("mousedown" if down else "mouseup", "1")

    def type(self, *names):
        self.desktop.do("key", *("space" if name == "spc" else name for name in names))

    def end(self, *_):
        """Escape."""
        self.type("Escape")


# A house in one stroke.
HOUSE = [(3, 7), (3, 4), (5, 2), (7, 4), (7, 7), (3, 7), (7, 4), (3, 4), (7, 7)]
# A point of each line, on a page of 640 by 400.
LINES = [
    (round((2 * x1 + x2) * 64 / 3), round((2 * y1 + y2) * 40 / 3))
    for (x1, y1), (x2, y2) in itertools.pairwise(HOUSE)
]
# Seven characters of 10 by 20 pixels, of which the second is a space.
TYPED = [True, False, *[True] * 5, *[False] * 55]


@in_every_form(limit=60)
def pad_of_the_book(context, form):
    """Drawings and text are on the page, also after the page has another size."""
    desktop = Desktop(context) if form == "process" else None
    for _ in range(5):
        cells = drawn(context, form, desktop)
        # The program repeats a key with a late release, which xdotool sends by itself: with more
        # characters than were typed the test repeats everything.
        if not desktop or not any(cells[7:]):
            break
        print(f"repeated: {cells}")
    assert cells == TYPED, cells


def drawn(context, form, desktop):
    """Draws and types on the pad, and checks the drawing; returns the characters' places."""
    file = context.path("pad.png")
    options = ["--display-size=320x240", f"--screenshot={file}"]
    qmp = None
    if desktop:
        options, more = [*options, "--display=window"], {"env": desktop.environment}
    else:
        monitor, qmp = monitored(context)
        options, more = [*options, *monitor, "--display=vnc=:1"], {}
    child = context.soil(PAD, form, options=options, **more)
    child.wait_line("a page of 320 by 240")
    hand = HandAtWindow(desktop, (320, 240)) if desktop else Hand(qmp)
    # The small page shows its lower half.
    half = len(HOUSE) // 2
    hand.move(*(part / 10 for part in HOUSE[0]))
    hand.press(True)
    for x, y in HOUSE[1:half]:
        hand.move(x / 10, y / 10)
    hand.type("a", "spc")
    hand.resize(640, 400)
    child.wait_line("a page of 640 by 400")
    if desktop:
        # Until then a place in the window is one of the previous picture, scaled to the window.
        desktop.await_picture([640 * PAPER])
    for x, y in HOUSE[half:]:
        hand.move(x / 10, y / 10)
    hand.press(False)
    hand.move(0.9, 0.1)
    hand.type("h", "o", "u", "s", "e")
    hand.end(context, *LINES)
    rows = ended(child, context, form, file, "display.png")
    assert (len(rows), len(rows[0])) == (400, 3 * 640)
    # The pen was up on the way to the corner, and down on all of the house.
    assert pixel(rows, 550, 60) == PAPER
    assert all(pixel(rows, *middle) == INK for middle in LINES)
    columns = [any(pixel(rows, x, y) == INK for y in range(375, 395)) for x in range(640)]
    return [any(columns[x : x + 10]) for x in range(10, 630, 10)]
