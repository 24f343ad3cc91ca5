"""The console on the display (`SOIL_CONSOLE=display`), to the pixel: the machine must show the text
as Soil_draw, which has the same font, draws it in a process."""

import os
import subprocess
import time

from cases.display import Vnc, dump, monitored, read_png
from harness.context import MACHINES, REFERENCE, clean, command, outcome
from harness.qmp import Monitor
from harness.runner import test

PRINTS = "tests/programs/display/prints.exe"
EXPECTED = "tests/programs/display/expected.exe"
COLUMNS, ROWS = 40, 16
SIZE = f"--display-size={COLUMNS * 8}x{ROWS * 13}"
ON_DISPLAY = ["--env", "SOIL_CONSOLE=display", SIZE]
GREY = "0xAAAAAA"


def expected(context, lines):
    """The rows of a display with this text; each piece has row, column, foreground, background,
    font and text."""
    file = context.path("expected.png")
    child = context.soil(
        EXPECTED, REFERENCE, options=[f"--screenshot={file}", SIZE], stdin=subprocess.PIPE
    )
    for row, column, foreground, background, font, text in lines:
        line = f"{row} {column} {foreground} {background} {font} {text}\n"
        child.process.stdin.write(line.encode())
    child.process.stdin.close()
    status, text = outcome(child, context)
    assert status == 0, text
    rows = read_png(file)
    os.remove(file)
    return rows


def plain(context, text, cursor=True):
    """The same for text without colours, of which the screen shows the last rows, followed by a
    cursor."""
    rows = []
    for line in text.split("\n"):
        rows += [line[at : at + COLUMNS] for at in range(0, max(len(line), 1), COLUMNS)]
    rows = rows[-ROWS:]
    lines = [(row, 0, GREY, 0, "medium", line) for row, line in enumerate(rows) if line]
    if cursor:
        lines.append((len(rows) - 1, len(rows[-1]), GREY, 0, "underline", ""))
    return expected(context, lines)


def shown(context, form, *words, status=0):
    """The screen at the program's end, and its output."""
    file = context.path("shown.png")
    options = [*ON_DISPLAY, f"--screenshot={file}"]
    child = context.soil(PRINTS, form, *words, options=options, stdin=subprocess.DEVNULL)
    found, text = outcome(child, context)
    assert found == status, text
    rows = read_png(file)
    os.remove(file)
    return rows, text


@test()
def console_text_and_colours(context):
    """Colours, letters with accents, tabs, wrapped lines, cursor movement; both outputs."""
    red, white = "0xAA0000", "0xFFFFFF"
    lines = [
        (0, 0, GREY, 0, "medium", "plain"),
        (0, 6, white, 0, "bold", "bold"),
        (0, 11, red, 0, "medium", "red"),
        (0, 15, 0, GREY, "medium", "on white"),
        (1, 0, GREY, 0, "medium", "L"),
        (1, 8, GREY, 0, "medium", "to \u00e9rror"),
        (2, 0, GREY, 0, "medium", "a line that is longer than the forty col"),
        (3, 0, GREY, 0, "medium", "umns of the screen"),
        (9, 37, GREY, 0, "medium", "cor"),
        (10, 0, GREY, 0, "medium", "ner"),
        (1, 1, GREY, 0, "underline", ""),
    ]
    wanted = expected(context, lines)
    for form in MACHINES:
        rows, text = shown(context, form, "text")
        assert rows == wanted, form
        assert "longer than the forty columns" in text, "the serial line has it, too"


@test(limit=120)
def console_of_many_lines(context):
    """10 000 lines end with the last ones on the screen; the serial line has all of them."""
    lines = [f"line {number}" for number in range(1, 10_001)]
    wanted = plain(context, "\n".join([*lines, ""]))
    for form in MACHINES:
        rows, text = shown(context, form, "lines", "10000")
        assert clean(text).splitlines() == lines
        assert rows == wanted, form


def await_picture(context, monitor, wanted):
    """Waits until the machine shows this."""
    while dump(context, monitor, "display0") != wanted:
        assert context.remaining() > 1
        time.sleep(0.05)


def comes_to_show(context, form, mode, wanted):
    """The picture appears while the program runs, not only at its end."""
    options, qmp = monitored(context)
    options += [*ON_DISPLAY, "--display=none"]
    child = context.soil(PRINTS, form, mode, options=options, stdin=subprocess.PIPE)
    child.wait_line("now")
    await_picture(context, Monitor(qmp), wanted)
    child.stop()


@test(limit=120)
def console_while_the_program_goes_on(context):
    """A line appears while the program waits in a system call, while it sleeps in the runtime, and
    while it computes."""
    wanted = plain(context, "now\n")
    for form in MACHINES:
        for mode in ("waits", "sleeps", "computes"):
            comes_to_show(context, form, mode, wanted)


@test()
def console_of_another_size(context):
    """The text is laid out again for a size requested by a viewer, while the program sleeps."""
    wanted = plain(context, "now\n")
    # Its upper left part, on black.
    smaller = [row[: 3 * 160] for row in wanted[:104]]
    for index, form in enumerate(MACHINES):
        number = 30_000 + os.getpid() % 20_000 + index
        options, qmp = monitored(context)
        options += [*ON_DISPLAY, f"--display=vnc=:{number}"]
        child = context.soil(PRINTS, form, "sleeps", options=options, stdin=subprocess.PIPE)
        child.wait_line("now")
        monitor = Monitor(qmp)
        await_picture(context, monitor, wanted)
        vnc = Vnc(number)
        vnc.resize(160, 104)
        await_picture(context, monitor, smaller)
        child.stop()


def await_corner(context, monitor, wanted):
    """Waits until the upper left corner of the machine's display shows this."""
    width = len(wanted[0])
    while [row[:width] for row in dump(context, monitor, "display0")[: len(wanted)]] != wanted:
        assert context.remaining() > 1
        time.sleep(0.05)


def with_viewer(context, index):
    """Options for a monitor and a VNC server, the monitor's path, and the server's number."""
    number = 20_000 + os.getpid() % 20_000 + index
    options, qmp = monitored(context)
    return [*options, *ON_DISPLAY, f"--display=vnc=:{number}"], qmp, number


@test()
def console_of_a_large_display(context):
    """A display too large for the machine's memory shows the text in its upper part."""
    wanted = [row[: 3 * 8 * 8] for row in plain(context, "now\n")[:13]]
    for form in MACHINES:
        options, qmp = monitored(context)
        options += ["--env", "SOIL_CONSOLE=display", "--display=none"]
        options += ["--display-size=3840x2160", "--mem=32M"]
        child = context.soil(PRINTS, form, "sleeps", options=options, stdin=subprocess.PIPE)
        child.wait_line("now")
        await_corner(context, Monitor(qmp), wanted)
        child.stop()


@test()
def console_of_a_host_that_refuses(context):
    """A host without memory for the picture gets two requests, and a line has the reason why
    nothing appears; the console returns after the program has used the display."""
    # Its upper left part, on black.
    wanted = [row[: 3 * 160] for row in plain(context, "back\n")[:104]]
    for index, form in enumerate(MACHINES):
        options, qmp, number = with_viewer(context, index)
        options.append(f"--device-option=gpu:max_hostmem={COLUMNS * 8 * ROWS * 13 * 4 - 4096}")
        trace = context.path(f"trace{index}")
        words = ("-trace", f"enable=virtio_gpu_cmd_res_create_2d,file={trace}")
        options += [f"--qemu-arg={word}" for word in words]
        child = context.soil(PRINTS, form, "returns", options=options, stdin=subprocess.PIPE)
        child.wait_line("now")
        child.wait_line("isn't on the display at")
        assert "any more: the host has no memory for the picture" in child.text, child.text
        with open(trace, encoding="utf-8") as file:
            assert file.read().count("res_create_2d") == 2
        monitor = Monitor(qmp)
        vnc = Vnc(number)
        vnc.resize(160, 104)
        # The program holds the display until it has that size.
        child.process.stdin.write(b"\n")
        child.process.stdin.flush()
        await_picture(context, monitor, wanted)
        child.stop()


@test()
def console_and_a_display_of_the_program(context):
    """The program's picture stays while it has the display open; after a close the console returns,
    with the text printed meanwhile."""
    wanted = plain(context, "before\nafter\nafter\nafter\n")
    for form in MACHINES:
        rows, _ = shown(context, form, "opens")
        assert rows == [b"\x33\x66\x99" * 320] * 208, form
        rows, _ = shown(context, form, "turns")
        assert rows == wanted, form


@test()
def console_of_a_crash(context):
    """The screen shows the report of a crash from its beginning, as far as there are rows, although
    the program has the display open."""
    for form in MACHINES:
        rows, text = shown(context, form, "crashes", status=139)
        report = clean(text)
        report = report[report.index("soil: crash:") :]
        lines = []
        # `soil run` adds names of functions.
        for line in report.splitlines():
            lines += [line[at : at + COLUMNS] for at in range(0, len(line), COLUMNS)]
        assert "page fault: write at 0x600000000001" in report, report
        pieces = [(row, 0, GREY, 0, "medium", line) for row, line in enumerate(lines[:ROWS])]
        assert rows == expected(context, pieces), f"{form}: {report}"
    if folder := os.environ.get("SOIL_PICTURES"):
        # The one in docs/display.md.
        file = os.path.join(folder, "crash.png")
        options = ["--display-size=640x400", f"--screenshot={file}"]
        options += ["--env", "SOIL_CONSOLE=display"]
        child = context.soil(PRINTS, "microvm", "crashes", options=options)
        assert outcome(child, context)[0] == 139


@test(limit=120)
def console_of_a_crash_that_the_serial_line_does_not_take(context):
    """Where nothing reads the serial line, the screen shows the report nonetheless."""
    line = "soil: crash: page fault: write at 0x600000000001"[:COLUMNS]
    wanted = expected(context, [(0, 0, GREY, 0, "medium", line)])[:13]
    for form in MACHINES:
        file = context.path("stuck.png")
        options, qmp = monitored(context)
        options += [*ON_DISPLAY, f"--screenshot={file}"]
        words = command(PRINTS, form, ["stuck"], options)
        with subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as child:
            try:
                # It may print nothing until its end.
                monitor = Monitor(qmp, context.remaining())
                # QEMU ends with the picture.
                while monitor.file.readline():
                    pass
                text, _ = child.communicate(timeout=context.remaining())
            finally:
                child.kill()
        assert child.returncode == 139 and b"soil: crash" not in text, text[-1000:]
        assert read_png(file)[:13] == wanted, form
        os.remove(file)


@test()
def console_without_a_display(context):
    """The error names the missing requirement and the remedy."""
    program = "tests/programs/arguments.exe"
    for form, name, options, reason in (
        ("microvm", program, ["--display=none"], "add soil-display.console to the libraries"),
        ("microvm", PRINTS, [], "add --display window"),
        ("process", PRINTS, ["--display=none"], "a process has its terminal"),
    ):
        words = ["--env", "SOIL_CONSOLE=display", *options]
        status, text = outcome(context.soil(name, form, "text", options=words), context)
        assert status == 125 and reason in text, text
    words = ["--env", "SOIL_CONSOLE=display", "--display=none", "--dry-run"]
    status, text = outcome(context.soil(PRINTS, "q35", "text", options=words), context)
    assert status == 0 and "SOIL_CONSOLE=display" in text, text
    words = ["--env", "SOIL_CONSOLE=screen", "--display=none"]
    status, text = outcome(context.soil(PRINTS, "microvm", "text", options=words), context)
    assert status == 125 and "give SOIL_CONSOLE=display" in text, text
