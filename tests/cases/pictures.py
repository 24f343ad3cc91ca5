"""The examples with displays: what they show, as `--screenshot` pictures it.

With SOIL_PICTURES=DIR in the environment the machines' pictures are kept in that folder: those of
the examples' READMEs.
"""

import os
import shutil
import time

from cases.display import axis, button, monitored, read_png
from cases.network import in_every_form
from cases.service import ask
from harness.console import PATIENCE
from harness.context import outcome
from harness.qmp import Monitor

TERRARIUM = "examples/terrarium/main.exe"
DASHBOARD = "examples/dashboard/main.exe"
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
    """The picture after the end of the program."""
    child.signal(15)
    assert outcome(child, context)[0] in (0, 143), child.text
    if (folder := os.environ.get("SOIL_PICTURES")) and form == "microvm":
        shutil.copyfile(file, os.path.join(folder, name))
    return read_png(file)


def report(host):
    status, page = ask(host, "GET", "/")
    assert status == 200, page
    return {name: float(value) for name, value in map(str.split, page.decode().splitlines())}


def reach(host, name, least):
    """Waits until the program's page tells of that many."""
    until = time.monotonic() + PATIENCE
    while report(host)[name] < least:
        assert time.monotonic() < until, f"{name} {report(host)[name]}, wanted {least}"
        time.sleep(0.1)


@in_every_form(limit=60)
def terrarium_lives(context, form):
    """Plants grow, a click and a request plant seeds, packets rain, the sun shines, and the network
    serves meanwhile."""
    # From noon on.
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
    reach(host, "plants", plants)
    assert report(host)["plants"] == plants
    # Two passes over the scene, so that all that has grown is seen.
    reach(host, "frames", report(host)["frames"] + 200)
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
    """The page is drawn in the display's size, and its server's requests are in its chart."""
    child, host, _, file = start(context, DASHBOARD, form, "800x480")
    for _ in range(40):
        report(host)
    status, page = ask(host, "GET", "/metrics")
    assert status == 200 and b"dashboard_requests_total 41" in page, page
    reach(host, "pages", report(host)["pages"] + 3)
    rows = shown(child, context, form, file, "dashboard.png")
    assert (len(rows), len(rows[0])) == (480, 3 * 800)
    assert any(METER in row for row in rows[48:250]), "no gauge of memory"
    chart = bytes((0xB7, 0x9C, 0xFF))
    height = [
        y for y in range(300, 470) if any(pixel(rows, x, y) == chart for x in range(420, 770))
    ]
    assert height and max(height) - min(height) > 40, height
