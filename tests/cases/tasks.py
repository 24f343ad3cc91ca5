"""Programs on the Soil library that need no peer; the same output in every form."""

import os
import re
import signal

from cases.programs import Program
from harness.context import FORMS, MACHINES, ROOT, outcome
from harness.runner import test

PROGRAMS = [
    Program("pipes", "tests/programs/soil/pipes.exe"),
    Program("tasks", "tests/programs/soil/tasks.exe"),
    Program("sleepers", "tests/programs/soil/sleepers.exe"),
]


def register():
    for program in PROGRAMS:
        for form in program.forms:
            test(f"{program.label}-{form}", shows=program.shown())(
                lambda context, program=program, form=form: program.check(context, form)
            )


register()


def fat_disk(context, name="data.img", size=64 << 20):
    """A FAT file system in the test's directory, unless `name` is a path."""
    path = context.path(name)
    with open(path, "wb") as file:
        file.truncate(size)
    context.run("mkfs.fat", path)
    return path


@test()
def files(context):
    """The same output in every form, a clean file system afterwards, and mtools reads it."""
    from cases.programs import EXPECTED

    with open(os.path.join(EXPECTED, "files.txt"), encoding="utf-8") as file:
        expected = file.read()
    for form in FORMS:
        disk = fat_disk(context)
        child = context.soil(
            "tests/programs/soil/files.exe", form, options=["--disk", f"data={disk}"]
        )
        status, output = outcome(child, context)
        assert output == expected, f"{form} printed:\n{output}\nexpected:\n{expected}"
        assert status == 0, f"{form}: status {status}"
        context.run("fsck.fat", "-n", disk)
        text = context.run("mtype", "-i", disk, "::/hello.txt").stdout
        assert text == "hello, DISK\nand more\n" + "\0" * 9 + "en", repr(text)
        os.unlink(disk)


@test()
def ways_to_end(context):
    """However a program ends, its exit status arrives and the disk is synced."""
    for form in FORMS:
        for way, status in (
            ("exit", 5),
            ("stdlib", 6),
            ("power-off", 0),
            ("exception", 2),
            ("end", 0),
        ):
            disk = fat_disk(context)
            child = context.soil(
                "tests/programs/soil/stop.exe", form, way, options=["--disk", f"data={disk}"]
            )
            got, output = outcome(child, context)
            assert got == status, f"{form} {way}: status {got}\n{output}"
            context.run("fsck.fat", "-n", disk)
            text = context.run("mtype", "-i", disk, "::/last.txt").stdout
            assert text == "written before the end\n", f"{form} {way}: {text!r}"


@test()
def asked_to_stop(context):
    """SIGTERM and Ctrl-C to `soil run` cancel the tasks, run at_exit and give status 143."""
    for form in FORMS:
        for number in (signal.SIGTERM, signal.SIGINT):
            child = context.soil("tests/programs/soil/cancelled.exe", form)
            child.wait_line("waiting")
            child.signal(number)
            status, output = outcome(child, context)
            for text in ("task cleaned up", "at_exit runs"):
                assert text in output, f"{form} {number.name}: {text!r} is missing from:\n{output}"
            assert status == 143, f"{form} {number.name}: status {status}\n{output}"


@test()
def backtraces(context):
    """Exceptions that Soil raises right after others have backtraces that name the program's line,
    and no line of the exception before."""
    source = "tests/programs/soil/traces.ml"
    with open(os.path.join(ROOT, source), encoding="utf-8") as file:
        numbered = enumerate(file, 1)
        lines = {
            m[1]: n for n, line in numbered if (m := re.search(r"\(\* ([a-z ]+) \*\);$", line))
        }
    assert len(lines) == 8, lines
    for form in FORMS:
        status, output = outcome(context.soil("tests/programs/soil/traces.exe", form), context)
        assert status == 0, f"{form}: status {status}\n{output}"
        reports = dict(re.findall(r"^([a-z ]+): (.*?)^\.$", output, re.MULTILINE | re.DOTALL))
        assert reports.keys() == lines.keys(), f"{form} printed:\n{output}"
        for name, line in lines.items():
            place = f'in file "{source}", line {line},'
            assert place in reports[name], f"{form}: no {place} in:\n{reports[name]}"
            assert "Stdlib" not in reports[name], f"{form}: of another exception:\n{reports[name]}"
        assert reports["cancelled"].startswith("Soil.Task.Cancelled\n"), output
        assert reports["timeout"].startswith("Soil.Task.Timeout(0.001)\n"), output


@test(limit=90)
def idle_machine(context):
    """A machine that waits sleeps; in long runs, with next to no processor time."""
    from cases.network import machine_pid
    from harness.console import falls_asleep, least_processor_time

    for form in MACHINES:
        child = context.soil("tests/programs/soil/cancelled.exe", form)
        child.wait_line("waiting")
        assert falls_asleep(machine_pid(child)), f"{form}: it is woken all the time"
        if context.long:
            context.bound(
                f"{form}: processor time in 5 s",
                least_processor_time(machine_pid(child), 5, 0.25),
                0.25,
            )
