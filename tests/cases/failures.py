"""Reports of crashes, in processes and images; `SOIL_ON_FAILURE`: machines that start again when
their program fails, and what they keep."""

import os
import re
import signal

from cases.boot_disks import boot
from cases.loaders import boot as boot_by_qemu
from cases.loaders import made
from harness.context import ARCH, MACHINES, SOIL, clean, executable, forms_of
from harness.runner import test

CRASHING = "tests/programs/soil/crashing.exe"
# Kinds of crashes, their signals, what the report of a process says, and what that of an image.
CRASHES = (
    (
        "null",
        signal.SIGSEGV,
        "SIGSEGV: write at 0x10: a null pointer",
        "page fault: write at 0x10: ",
    ),
    ("stack", signal.SIGSEGV, "a stack overflow", "stack overflow"),
    ("abort", signal.SIGABRT, *["the program ended itself by SIGABRT"] * 2),
    ("illegal", signal.SIGILL, "SIGILL: an invalid instruction at 0x", "instruction"),
    *(
        (("divide", signal.SIGFPE, "SIGFPE: an invalid operation at 0x", "division"),)
        if not ARCH
        else ()
    ),
)

PROGRAM = "tests/programs/soil/failing.exe"
EXCEPTION = 'Fatal error: exception Failure("on purpose")'
# Lines of the console, not of a report.
AGAIN = r"(?m)^soil: failed with status {}: the machine starts again \(SOIL_ON_FAILURE\)$"
PAUSE = r"(?m)^soil: the program failed \((\d+) in a row\): it starts in (\d+) s$"


def check_twice(child, status, message):
    """The program fails twice, with growing pauses and the reports of both, and ends."""
    assert child.finish() == 0, child.text
    text = clean(child.text)
    assert text.count("no failure\n") == 1 and "recovered\n" in text, text
    assert len(re.findall(AGAIN.format(status), text)) == 2, text
    assert re.findall(PAUSE, text) == [("1", "1"), ("2", "2")], text
    for count in (1, 2):
        report = text[text.index(f"failure {count}, status {status}, time ") :]
        assert re.match(r".*\n(\| .*\n)*\| [^\n]*" + re.escape(message), report), text


def on_machines(form):
    """Registers the test of images that QEMU starts."""

    @test(
        f"again-{form}",
        limit=120,
        shows="After an exception or a crash the machine starts again, with the report of the last run.",
    )
    def again(context):
        for how, status, message in (
            ("raise", 2, EXCEPTION),
            ("abort", 134, "soil: crash: the program ended itself by SIGABRT"),
        ):
            options = ["--on-failure", "reboot"]
            child = context.soil(PROGRAM, form, how, "times", "2", options=options)
            check_twice(child, status, message)


for each in MACHINES:
    on_machines(each)


@test(limit=240)
def again_from_disks(context):
    """The same from a disk, by both firmwares; the clock chip has the time."""
    words = ["--on-failure", "reboot", "--", "raise", "times", "2"]
    disk = made(context, *words, program=PROGRAM)
    for kind in ("seabios", "ovmf"):
        child = boot(context, disk, kind)
        check_twice(child, 2, EXCEPTION)


@test(limit=120)
def a_restart_of_its_own_is_no_failure(context):
    """A program that restarts the machine itself, or that is stopped, hasn't failed: the next start
    has no report and no pause."""
    options = ["--on-failure", "reboot"]
    child = context.soil(PROGRAM, "q35", "raise", "reboot", "1", options=options)
    # Fails, restarts the machine, and begins again.
    child.wait_line("failure 1, status 2")
    child.wait_line("no failure")
    child.wait_line("failure 1, status 2")
    assert not re.search(PAUSE.replace(r"(\d+) in", "2 in"), child.text), child.text
    child.stop()
    child = context.soil(PROGRAM, "q35", "exit", options=options)
    # Long enough that the stop comes before its end on any machine.
    child.wait_line("it starts in 16 s")
    os.kill(child.process.pid, signal.SIGTERM)
    child.finish()
    assert "failure 5" not in child.text, child.text


@test()
def hidden_variables_reach_the_program(context):
    """A variable that `soil run` takes from its own environment is in a file of fw_cfg; a machine
    without the file that its command line names doesn't start."""
    os.environ["SOIL_ON_FAILURE"] = "poweroff"
    os.environ["HIDDEN"] = 'a "b" c\\'
    for form in MACHINES:
        words = [f"--env={name}" for name in ("HIDDEN", "SOIL_ON_FAILURE")]
        child = context.soil(PROGRAM, form, "getenv", "HIDDEN", options=words)
        assert child.finish() == 0, child.text
        assert 'HIDDEN is a "b" c\\\n' in clean(child.text), child.text
    options = ["--env", "SOIL_FW_CFG=opt/absent"]
    child = context.soil(PROGRAM, "microvm", "exit", options=options)
    assert child.finish() == 126, child.text
    assert "SOIL_FW_CFG=opt/absent: no such file" in child.text, child.text


@test(limit=120)
def halts_or_ends(context):
    """`halt` keeps the machine with its last line on the console; without the variable, and with a
    wrong one, it ends."""
    disk = made(context, "--on-failure", "halt", "--", "exit", program=PROGRAM)
    child = boot_by_qemu(context, disk)
    child.wait_line("soil: status 7")
    child.drain(1)
    assert child.process.poll() is None, child.text
    child.stop()
    for value, line in (("", ""), ("restart", "SOIL_ON_FAILURE: unknown: give reboot")):
        options = ["--env", f"SOIL_ON_FAILURE={value}"]
        child = context.soil(PROGRAM, "microvm", "exit", options=options)
        assert child.finish() == 7 and line in child.text, child.text
        assert child.text.count("no failure") == 1, child.text


def names_of(report):
    """The functions of a report's first trace, innermost first."""
    frames = re.findall(r"^  (?:frame|#\d+) +0x[0-9a-f]+ (?:in \S+: )?(\S+)", report, re.MULTILINE)
    end = frames.index("_start") + 1 if "_start" in frames else len(frames)
    return frames[:end]


def check_order(report):
    """C's functions, those of OCaml that called them, and then the runtime's: with nothing of the
    boot."""
    names = names_of(report)
    wanted = ("test_crash", "caml_c_call", "Crashing.provoke", "caml_main", "_start")
    places = [next((i for i, name in enumerate(names) if name.startswith(n)), None) for n in wanted]
    assert None not in places and places == sorted(places), (places, report)
    between = names[places[0] : places[2]]
    assert not any(name.startswith(("kernel::", "image::", "<kernel")) for name in between), report


def on_crash(form):
    """Registers the test of a form."""

    @test(
        f"crash-{form}",
        limit=180,
        shows="The report of a fault, an abort and a stack overflow names C's and OCaml's functions.",
    )
    def crash(context):
        for kind, number, *reasons in CRASHES:
            child = context.soil(CRASHING, form, kind)
            assert child.finish(context.remaining()) == 128 + number, child.text
            text = clean(child.text)
            reason = re.escape(reasons[form != "process"])
            assert re.search(f"soil: crash: .*{reason}", text), text
            assert "before\n" in text and "survived" not in text, text
            if kind == "stack":
                assert any(name.startswith("endless") for name in names_of(text)), text
            else:
                check_order(text if form == "process" else text[text.index(" crashed: ") :])


for each in forms_of("process", *MACHINES):
    on_crash(each)


@test(limit=120)
def a_process_ends_by_its_signal(context):
    """Also without `soil run`, and in a thread of C. OCaml's own handler and the program's go on
    working; `soil symbolize` reads the report."""
    program = executable(CRASHING, "process")
    for kind, number in (*((kind, number) for kind, number, *_ in CRASHES), ("bus", signal.SIGBUS)):
        child = context.child([program, kind])
        assert child.finish() == -number, child.text
        assert child.text.count("soil: crash: ") == 1 and "  build-id " in child.text, child.text
    child = context.child([program, "thread"])
    assert child.finish() == -signal.SIGSEGV, child.text
    report, others = re.split(r"^  thread \d+ \(crashing.exe\)$", child.text, flags=re.MULTILINE)
    assert "write_to_null" in names_of(report) and "Crashing.provoke" in others, child.text
    named = context.run(SOIL, "symbolize", program, input=child.text).stdout
    # Its own form of an address; those of libraries stay.
    assert re.search(r"^  frame 0x[0-9a-f]{10} write_to_null", named, re.MULTILINE), named
    assert re.search(r"^  frame 0x[0-9a-f]+ in libc", named, re.MULTILINE), named
    child = context.child([program, "deep"])
    assert child.finish() == 0 and "caught" in child.text, child.text
    for kind, number in (("illegal", signal.SIGILL), ("null", signal.SIGSEGV)):
        child = context.child([program, kind, "handled"])
        assert child.finish() == number, child.text
        assert "its own handler" in child.text and "soil: crash" not in child.text, child.text
