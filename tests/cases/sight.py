"""soil run --profile, --trace and --gdb: flame graphs and traces of images and processes, and
images in a debugger."""

import collections
import json
import os
import re
import shutil
import signal
import socket
import time

from cases.network import in_every_form, machine_pid
from harness.console import PATIENCE, falls_asleep
from harness.context import BINUTILS, PROCESSOR, SOIL, command, executable, outcome
from harness.runner import test

FORMS = ("process", "microvm")


def frames(svg):
    """The functions of a flame graph, each with its samples, and the total."""
    with open(svg, encoding="utf-8") as file:
        text = file.read()
    titles = re.findall(r"<title>([^<]*) \(([\d,]+) samples, [\d.]+%\)</title>", text)
    counts = collections.Counter()
    for name, count in titles:
        counts[name] += int(count.replace(",", ""))
    assert text.rstrip().endswith("</svg>"), text[-200:]
    # Nothing has called the first function: it is in the row above the total.
    rows = re.findall(r'<title>([^<]*) \([^<]*</title><rect [^>]*\by="(\d+)"', text)
    total = [int(y) for name, y in rows if name == "all"]
    first = {int(y) for name, y in rows if name == "_start"}
    assert len(total) == 1 and first <= {total[0] - 16}, (total, first)
    return counts


ENOUGH = 100
NOTHING = "(nothing was running)"


def profiled(run):
    """The samples of as many runs as needed: a fast machine takes few of each, and a busy one may
    leave the sampler without its processor. `run(turn)` returns the samples of one run."""
    found = collections.Counter()
    for turn in range(30):
        samples = run(turn)
        if NOTHING not in samples:
            found.update(samples)
        if found["all"] >= ENOUGH:
            return found
    raise AssertionError(f"too few samples: {found}")


@in_every_form(limit=120, forms=FORMS)
def profile_of_ocaml_and_c(context, form):
    """The flame graph of a program that computes names OCaml's and C's functions, with callers in
    OCaml below C's; the program's output and status are the same as without it."""
    svg = context.path("out.svg")

    def run(_):
        child = context.soil("gc_churn", form, options=["--profile", svg, "--mem", "64M"])
        assert child.finish(context.remaining()) == 0, child.text
        for line in ("trees 4915200, kept 16384, table 7", "allocated over 200 MB: true"):
            assert line in child.text, child.text
        assert re.search(r"soil: \S+out\.svg: \d+ samples of the running program", child.text), (
            child.text
        )
        return frames(svg)

    found = profiled(run)
    assert found["caml_main"] >= found["all"] // 2, found
    assert any(name.startswith("Gc_churn.") for name in found), found
    # Allocations in OCaml call the collector.
    collector = [name for name in found if re.match("oldify|caml_.*minor|mark|pool_sweep", name)]
    assert collector, found


@in_every_form(limit=120, forms=FORMS)
def profile_of_a_server(context, form):
    """The flame graph of a server ended by SIGTERM also has Rust's functions: the network stack's
    below the scheduler's."""
    tap, svg = context.tap(), context.path("out.svg")
    words = ["--profile", svg]

    def run(turn):
        child = context.soil("examples/echo/main.exe", form, options=words, tap=tap)
        child.wait_line("echo listens")
        length = 400_000_000 if form == "process" else 15_000_000
        context.load("copy", tap.guest, 7, length << min(turn, 5))
        child.signal(signal.SIGTERM)
        assert child.finish(context.remaining()) == 143, child.text
        return frames(svg)

    found = profiled(run)
    for name in ("Soil.Scheduler.run_all", "caml_main"):
        assert found[name], (name, found)
    # Samples hit the stack's functions by chance.
    assert any(name.startswith("net::") for name in found), found


@in_every_form(forms=("microvm",))
def profile_that_can_not_be(context, form):
    """A stripped image without its unstripped file, and an unwritable output file, are refused
    before the program runs."""
    stripped = context.path("stripped.exe")
    context.run(SOIL, "strip", executable("examples/hello/main.exe", form), stripped)
    words = command("examples/hello/main.exe", form, (), ["--profile", context.path("no/x.svg")])
    for remedy, refused in (
        ("No such file", words),
        ("profile the unstripped file", [*words[:2], stripped, "--profile", context.path("x.svg")]),
    ):
        child = context.child(refused)
        assert child.finish(context.remaining()) != 0, child.text
        assert remedy in child.text and "Hello" not in child.text, child.text
    shutil.copy(executable("examples/hello/main.exe", form), context.path("whole.exe"))
    child = context.child([*words[:2], stripped, "--profile", context.path("x.svg")])
    assert child.finish(context.remaining()) == 0, child.text
    assert os.path.getsize(context.path("x.svg")) > 0


def slices(out):
    """For each track of a trace its name and the names of its slices in order; checks that they
    don't overlap."""
    with open(out, encoding="utf-8") as file:
        events = json.load(file)["traceEvents"]
    tracks, ends = {}, {}
    for event in events:
        track = tracks.setdefault(event["tid"], [None, []])
        if event["ph"] == "M" and event["name"] == "thread_name":
            track[0] = event["args"]["name"]
        elif event["ph"] == "X":
            # Microseconds with three decimals.
            assert event["ts"] >= ends.get(event["tid"], 0) - 0.0005, event
            ends[event["tid"]] = event["ts"] + event["dur"]
            track[1].append(event["name"])
    return tracks


@test()
def trace_as_a_page(context):
    """A trace whose file is named .html is a page with the same records, which a browser draws."""
    out = context.path("out.html")
    child = context.soil("tests/programs/sight/traced.exe", "process", options=["--trace", out])
    assert child.finish(context.remaining()) == 0, child.text
    assert re.search(r"out\.html: \d+ events of 8 tasks; open it in a browser", child.text), (
        child.text
    )
    with open(out, encoding="utf-8") as file:
        text = file.read()
    (trace,) = re.findall(r'<script id="trace" [^>]*>\n(.*?)</script>', text, re.DOTALL)
    names = {event["args"]["name"] for event in json.loads(trace)["traceEvents"] if "args" in event}
    assert {f"task {number}" for number in range(1, 9)} < names, names
    browser = shutil.which("chromium")
    if not browser:
        return
    drawn = context.run(
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000",
        f"--user-data-dir={context.path('profile')}", "--dump-dom", f"file://{out}",
    )  # fmt: skip
    # The list below the picture is a script's work.
    assert 'class="chosen"' in drawn.stdout and "task 1: runs, " in drawn.stdout, drawn.stdout[
        -2000:
    ]


def instants(out):
    """The track and the name of each instant of a trace."""
    with open(out, encoding="utf-8") as file:
        events = json.load(file)["traceEvents"]
    names = {
        event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"
    }
    return [(names[event["tid"]], event["name"]) for event in events if event["ph"] == "i"]


@in_every_form(forms=FORMS)
def trace_of_tasks(context, form):
    """A trace has a track for each task, with its runs and its waits in between, and one for the
    program, which sleeps when no task can run; nothing is lost at the program's end."""
    out = context.path("out.json")
    child = context.soil("tests/programs/sight/traced.exe", form, options=["--trace", out])
    assert child.finish(context.remaining()) == 0 and "done" in child.text, child.text
    assert re.search(r"out\.json: \d+ events of 8 tasks; open it", child.text), child.text
    tracks = slices(out)
    name, of_program = tracks.pop(0)
    # The number of sleeps depends on the machine: on a busy one several tasks are due when it
    # wakes.
    assert name == "program" and set(of_program) == {"sleeps"}, (name, of_program)
    assert sorted(name for name, _ in tracks.values()) == [f"task {i}" for i in range(1, 9)]
    found = [tracks[number][1] for number in sorted(tracks)]
    # The first one sleeps, takes from the stream, and waits for the others at the scope's end.
    assert found[0][:4] == ["runs", "sleep", "runs", "other task"], found
    assert found[1:6] == [["runs", "sleep", "runs"]] * 5, found
    assert found[6] == ["runs", "turn"] * 3 + ["runs"], found
    assert found[7] == ["runs", "other task", "runs"], found


@in_every_form(forms=FORMS)
def trace_of_a_server(context, form):
    """Waits for the network have the operation's name; an operation that completes at once is an
    instant on its task's track."""
    tap, out = context.tap(), context.path("out.json")
    words = ["--trace", out]
    child = context.soil("examples/echo/main.exe", form, options=words, tap=tap)
    child.wait_line("echo listens")
    context.load("copy", tap.guest, 7, 500_000)
    child.signal(signal.SIGTERM)
    assert child.finish(context.remaining()) == 143, child.text
    waits = {name for _, names in slices(out).values() for name in names}
    assert {"runs", "sleeps", "read"} <= waits, waits
    found = instants(out)
    names = {name for _, name in found}
    assert {"accept", "read", "write"} <= names, names
    assert all(track.startswith("task ") for track, _ in found), found


@in_every_form(forms=FORMS)
def trace_that_can_not_be(context, form):
    """A program without tasks of Soil is refused before it runs."""
    words = command("gc_churn", form, (), ["--trace", context.path("out.json")])
    child = context.child(words)
    assert child.finish(context.remaining()) != 0, child.text
    assert "no trace can be taken" in child.text and "trees" not in child.text, child.text


class Debugger:
    """The client of QEMU's gdb server at a port."""

    # Where the answer to `g`, all registers of eight bytes, has the program counter.
    COUNTER = {"x86_64": 16, "aarch64": 32}[PROCESSOR]

    def __init__(self, port):
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
                return
            except ConnectionRefusedError:
                assert time.monotonic() < until, "QEMU has no gdb server"
                time.sleep(0.02)

    def ask(self, text):
        """The answer to a packet."""
        self.socket.sendall(f"${text}#{sum(text.encode()) % 256:02x}".encode())
        answer = b""
        while not re.search(rb"#..$", answer):
            piece = self.socket.recv(65536)
            assert piece, f"{text}: {answer}"
            answer += piece
        self.socket.sendall(b"+")
        return answer.split(b"$", 1)[1][:-3].decode()

    def program_counter(self):
        registers = bytes.fromhex(self.ask("g")[: 16 * (self.COUNTER + 1)])
        return int.from_bytes(registers[-8:], "little")


@in_every_form(forms=("microvm",))
def debugger_at_a_function(context, form):
    """With --gdb an image waits before its first instruction; a hardware breakpoint stops it at a
    function's address, and from there it runs to its end."""
    program = "examples/hello/main.exe"
    symbols = context.run(f"{BINUTILS}nm", executable(program, form)).stdout
    address = int(re.search(r"^([0-9a-f]+) T caml_main$", symbols, re.MULTILINE)[1], 16)
    child = context.soil(program, form, options=["--gdb=1234"])
    child.wait_line("waiting for gdb")
    # Without a wait it would run to its end.
    assert falls_asleep(machine_pid(child)), child.text
    debugger = Debugger(1234)
    assert debugger.ask("?").startswith("T05") and "Hello" not in child.text, child.text
    assert debugger.ask(f"Z1,{address:x},4") == "OK"
    assert debugger.ask("c").startswith("T05")
    assert debugger.program_counter() == address
    assert debugger.ask(f"z1,{address:x},4") == "OK" and debugger.ask("D") == "OK"
    status, text = outcome(child, context)
    assert status == 0 and "Hello" in text, text
