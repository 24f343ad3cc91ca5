"""`SOIL_ON_FAILURE`: machines that start again when their program fails, and what they keep."""

import os
import re
import signal

from cases.boot_disks import boot
from cases.loaders import boot as boot_by_qemu
from cases.loaders import made
from harness.context import MACHINES, clean
from harness.runner import test

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
