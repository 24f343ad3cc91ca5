"""Needs of a program (`Soil.Needs`): declared by the program, shown by `soil needs`, and checked by
`soil run` before the program starts, or by the program at its start."""

import json
import os
import re
import socket
import subprocess

from cases.network import in_every_form
from cases.user_network import free_port, uplink
from harness.context import SOIL, clean, command, executable, outcome
from harness.runner import test

PROGRAM = "tests/programs/soil/needs.exe"
BOTH = ("process", "microvm")
ALL = (
    "volume:data:ext4+fat:1048576",
    "disk:raw:4096",
    "net:service",
    "tcp:http:80",
    "udp:names:53",
    "both:lookups:5353",
    "display:board:640:480",
    "display:other:optional",
    "input",
    "memory:96",
    "cpus:1",
)


def disk(context, name, mib, *make):
    """A disk of this size in the test's folder, with a file system if a command is given."""
    path = context.path(name)
    with open(path, "wb") as file:
        file.truncate(mib << 20)
    if make:
        context.run(*make, path)
    return path


def needs(context, form, *words, options=(), program=PROGRAM, **more):
    """`soil needs` for the program."""
    return context.run(SOIL, "needs", executable(program, form), *options, "--", *words, **more)


def ended(context, form, *words, options=()):
    """The status and the output of `soil run`."""
    return outcome(context.soil(PROGRAM, form, *words, options=options), context)


def refused(context, form, expected, *words, options=()):
    """`soil run` refuses with this text, and doesn't start the program."""
    status, text = ended(context, form, *words, options=options)
    assert status == 125 and expected in text, text
    assert "runs\n" not in text, text


@in_every_form(forms=BOTH)
def needs_are_told_by_the_program(context, form):
    """`soil needs` as text and as JSON, also of a stripped image, after the output of module
    initialisation; it doesn't start a program without needs."""
    lines = needs(context, form, "say:hello", *ALL).stdout.splitlines()
    rows = [[cell.strip() for cell in line.split("  ") if cell] for line in lines]
    assert rows == [
        ["volume", "data", 'files "of" data, ext4 or fat, at least 1 MiB', "--disk data=FILE"],
        ["disk", "raw", "at least 4 KiB", "--disk raw=FILE"],
        ["net", "service", "eth0", "--net NET"],
        ["port", "http", "tcp 80", "--forward 8080:80"],
        ["port", "names", "udp 53", "--forward 8053:53/udp"],
        ["port", "lookups", "tcp and udp 5353", "--forward 5353:5353 --forward 5353:5353/udp"],
        ["display", "board", "a picture, display0, at least 640x480", "--display window"],
        ["display", "other", "a picture, display1, optional", "--display window"],
        ["input", "keyboard, pointer", "--display window"],
        ["memory", "96 MiB", "--mem 96M"],
        ["cpus", "1", "--cpus 1"],
    ], rows
    answer = json.loads(needs(context, form, *ALL, options=["--json"]).stdout)
    kinds = [need["kind"] for need in answer["needs"]]
    devices = ["volume", "disk", "net", "port", "port", "port", "display", "display", "input"]
    assert kinds == [*devices, "memory", "cpus"], answer
    assert answer["needs"][6]["at_least"] == [640, 480], answer
    assert answer["needs"][0]["file_systems"] == ["ext4", "fat"], answer
    if form != "process":
        stripped = context.path("stripped.exe")
        context.run(SOIL, "strip", executable(PROGRAM, form), stripped)
        text = context.run(SOIL, "needs", stripped, "--", "cpus:1").stdout
        assert text.split() == ["cpus", "1", "--cpus", "1"], text
    without = needs(context, form, program="tests/programs/arguments.exe").stdout
    assert without.endswith("arguments.exe: declares no needs\n"), without


@in_every_form(forms=BOTH)
def what_is_missing_is_refused_with_its_option(context, form):
    """A missing disk, one that is too small, read-only, blank, or has another file system, too
    little memory: each is refused before the program starts, with the remedy."""
    ext4 = disk(context, "ext4.img", 16, "mkfs.ext4", "-q")
    fat = disk(context, "fat.img", 16, "mkfs.fat")
    blank = disk(context, "blank.img", 16)
    other = disk(context, "other.img", 16, "mkswap")
    archive = context.path("files.tar")
    context.run("tar", "-cf", archive, "-C", context.directory, "other.img")
    two = disk(context, "two.img", 16)
    context.run("sfdisk", "-q", two, input="label: gpt\nsize=4M\nsize=4M\n")

    def volume(expected, word, *options):
        refused(context, form, expected, word, options=[*options])

    volume("add --disk data=data.img", "volume:data:ext4:0")
    several = ("volume:a:fat:0", "volume:b:fat:0")
    status, text = ended(context, form, *several)
    assert status == 125 and "--disk a=" in text and "--disk b=" in text, text
    if form != "process":
        refused(context, form, "give --mem 96M", "memory:96", options=["--mem", "32M"])
        refused(context, form, "and --cpus gives 1: give --cpus 2", "cpus:2")
        return
    # `soil run` does the checks, and the same ones for an image.
    volume("soil disk make data.img --fs ext4 --size 100M", "volume:data:ext4:104857600")
    volume("mkfs.ext4", "volume:data:ext4:0", "--disk", f"data={blank}")
    volume("mkfs.fat", "volume:data::0", "--disk", f"data={blank}")
    volume("no file system that Soil knows", "volume:data::0", "--disk", f"data={other}")
    volume("give --mount /data=data/NUMBER", "volume:data:fat:0", "--disk", f"data={two}")
    volume("has the file system fat", "volume:data:ext4+tar:0", "--disk", f"data={fat}")
    volume("is a tar archive", "volume:data::0", "--disk", f"data={archive}")
    volume("needs fat", "volume:data:fat:0", "--disk", f"data={ext4}")
    grow = f"soil disk grow {ext4} --size 17M"
    volume(grow, "volume:data:ext4:16777217", "--disk", f"data={ext4}")
    volume("leave out ,ro", "volume:data:fat:0", "--disk", f"data={fat},ro")
    volume(
        "give --mount /data=data",
        "volume:data:fat:0",
        "--disk",
        f"data={fat}",
        "--mount",
        "/x=data",
    )
    volume("has to be fat", "volume:data:fat:0", "--mount", "/data=memory:1M")
    volume("truncate -s 1M raw.img", "disk:raw:4096")
    volume("needs 17 MiB", "disk:raw:17825792", "--disk", f"raw={blank}")
    volume("soil disk make", "volume:data:fat:0", "--disk", f"data={context.path('missing')}")


@in_every_form(forms=BOTH)
def what_is_given_is_used(context, form):
    """Disks that meet their needs, defaults of memory and of mount points, options that override
    them, and --ignore-needs."""
    fat = disk(context, "fat.img", 16, "mkfs.fat")
    raw = disk(context, "raw.img", 1)

    def runs(expected, *words, options=()):
        status, text = ended(context, form, *words, options=options)
        assert (status, text) == (0, "runs\n" + expected), text

    given = ["--disk", f"data={fat}"]
    words = ("volume:data:fat+ext4:16777216:at:/var/db", "disk:raw:1048576", "memory:100")
    options = [*given, "--disk", f"raw={raw}"]
    runs("/var/db: 0 entries\n2048 sectors\nenough\n", *words, options=options)

    def runs_without(*words, options=()):
        status, text = ended(context, form, *words, options=options)
        assert status == 0 and text.startswith("runs\nlist /data: not"), text

    runs_without("volume:data:fat:0", options=["--ignore-needs"])
    if form != "process":
        return
    # `soil run` does the rest, and the same for an image.
    runs("/data: 0 entries\n", "volume:data::0:ro", options=["--disk", f"data={fat},ro"])
    elsewhere = ["--disk", f"other={fat}", "--mount", "/data=fat:other"]
    runs("/data: 0 entries\n", "volume:data:fat:0", options=elsewhere)
    runs_without("volume:data:fat:0:optional")
    os.mkdir(context.path("folder"))
    folder = ["--mount", f"/data=host:{context.path('folder')}"]
    # A process takes a folder of the host for any file system and size.
    for file_systems in ("", "host", "ext4+fat", "memory"):
        runs("/data: 0 entries\n", f"volume:data:{file_systems}:1048576", options=folder)
    status, text = ended(context, form, "volume:data::0", options=[folder[0], folder[1] + ",ro"])
    assert status == 125 and "is read-only, and the program writes to it" in text, text


@in_every_form(forms=BOTH)
def a_program_checks_its_needs_itself(context, form):
    """Without `soil run`'s checks the program names all missing needs at its start, and ends with
    the same status. It uses the resources present."""
    fat = disk(context, "fat.img", 16, "mkfs.fat")
    raw = disk(context, "raw.img", 1)
    # As other launchers do: the variable that --ignore-needs sets is empty.
    unchecked = ["--ignore-needs", "--env", "SOIL_NEEDS="]

    def fails(words, *expected, options=()):
        status, text = ended(context, form, *words, options=[*unchecked, *options])
        assert status == 125 and "runs\n" not in text, (status, text)
        for each in expected:
            assert f"soil: {each}" in text, text
        assert "start the program by 'soil run'" in text, text
        assert text.count("soil: ") == len(expected) + 1, text

    words = ("volume:data:fat:0", "disk:raw:4096")
    fails(words, "volume data: ", "disk raw: no disk raw: run with --disk raw=FILE")
    disks = ["--disk", f"data={fat}", "--disk", f"raw={raw}"]
    fails(("disk:raw:1048577",), "disk raw: has 1048576 bytes, and 1048577", options=disks)
    read_only = ["--disk", f"data={fat},ro", "--disk", f"raw={raw},ro"]
    fails(words, "volume data: /data is read-only", "disk raw: is read-only", options=read_only)
    given = [*unchecked, *disks]
    status, text = ended(context, form, *words, "cpus:1", options=given)
    assert (status, text) == (0, "runs\n/data: 0 entries\n2048 sectors\n"), text
    words = ("volume:data:fat:0:optional", "volume:other:fat:0:ro")
    fails(words, "volume other: ", options=["--disk", f"data={fat}"])
    fails(("cpus:1000",), "cpus: there are ")
    if form == "process":
        # Those that Linux lets it use, whatever the machine has.
        one = ["taskset", "-c", str(min(os.sched_getaffinity(0))), executable(PROGRAM, form)]
        assert context.run(*one, "cpus:1").stdout == "runs\n"
        done = context.run(*one, "cpus:2", check=False)
        assert done.returncode == 125 and "there are 1, and the" in done.stderr, done
        # The program checks even without `soil run`.
        done = context.run(executable(PROGRAM, form), "volume:data:fat:0", check=False)
        assert done.returncode == 125 and "soil: volume data: " in done.stderr, done
        environment = {**os.environ, "SOIL_DISK_data": fat}
        done = context.run(executable(PROGRAM, form), "volume:data:fat:0", env=environment)
        assert done.stdout == "runs\n/data: 0 entries\n", done
        return
    fails(("cpus:2",), "cpus: there are 1, and the program needs 2: give --cpus 2 (an")
    status, text = ended(context, form, "cpus:2", options=[*unchecked, "--cpus", "2"])
    assert (status, text) == (0, "runs\n"), text
    fails(("memory:96",), "memory: the machine has", options=["--mem", "64M"])
    fails(("tcp:http:80",), "port http: ")
    fails(("net:a", "net:b"), "net a: ", "net b: ")
    status, text = ended(context, form, "memory:64", options=[*unchecked, "--mem", "64M"])
    assert (status, text) == (0, "runs\nenough\n"), text


@in_every_form(forms=BOTH)
def a_display_is_checked_and_given(context, form):
    """Without a desktop the refusal names the options, with one a window opens. The program checks
    the number of its displays, their sizes, and its keyboard."""
    screen, none = "display:board:640:480", "--display=none"

    def run(*words, options=(), desktop=None):
        words_of_run = command(PROGRAM, form, words, options)
        environment = {**os.environ, "DISPLAY": desktop or "", "WAYLAND_DISPLAY": ""}
        return outcome(context.child(words_of_run, env=environment), context)

    def fails(expected, *words, options=()):
        status, text = run(*words, options=options)
        assert status == 125 and expected in text and "runs\n" not in text, (status, text)

    fails("display board: is not given", screen)
    fails("--display none", screen)
    fails("keyboard and pointer: is not given", "input")
    small = "--display-size=320x200"
    fails("give --display-size 640x480", screen, options=[none, small])
    other = "display:other"
    fails("needs 2 displays (board, other)", screen, other, options=[none, small])
    # Without a desktop no window can open.
    words = [*command(PROGRAM, form, (screen,), ["--dry-run"])]
    desktop = {**os.environ, "DISPLAY": ":1"}
    shown = context.run(*words, env=desktop).stdout
    assert ("memory=1280x800" if form == "process" else "-display gtk") in shown, shown
    # A process has a pointer for each display.
    devices = "3 devices" if form == "process" else "2 devices"
    both = ("display0: 1280x800", "display1: 1280x800", devices)
    status, text = run(screen, other, "input", options=[none])
    assert (status, text.split("\n")) == (0, ["runs", *both, ""]), text
    status, text = run("display:board:optional")
    assert status == 0 and "soil run --display" in text, text

    unchecked = ["--ignore-needs", "--env", "SOIL_NEEDS="]
    fails("soil: display board: ", screen, options=unchecked)
    fails("soil: input: ", "input", options=unchecked)
    shown = [*unchecked, none, small]
    if form == "process":
        fails("display board: has 320x200 pixels, and 640x480 are", screen, options=shown)
    fails("display other: no display display1: there is display0", screen, other, options=shown)
    status, text = run("display:board", "input", "display:x:optional", options=shown)
    assert status == 0 and text.startswith("runs\ndisplay0: 320x200\n2 devices\n"), text


@in_every_form(forms=BOTH)
def a_port_is_forwarded_by_default(context, form):
    """From the same port of the loopback, where it is free, and by --forward."""
    uplink(context)
    number = free_port()
    # The harness gives `--net none` to programs without a TAP.
    user = ["--net", "user"]
    child = context.soil(PROGRAM, form, f"serve:{number}", options=user)
    child.wait_line("ready")
    note = f"greeting: 127.0.0.1:{number} leads to tcp port {number}"
    child.wait_line(note)
    with socket.create_connection(("127.0.0.1", number)) as peer:
        peer.sendall(b"hello")
        got = peer.makefile("rb").read(5)
        assert got == b"hello", (got, child.text)
    assert child.finish() == 0, child.text
    with socket.create_server(("127.0.0.1", number)):
        refused(context, form, f"--forward PORT:{number}", f"serve:{number}", options=user)
        forward = [*user, "--forward", f"{free_port()}:{number}"]
        status, text = ended(context, form, f"tcp:greeting:{number}", options=forward)
        assert (status, text) == (0, f"runs\nport {number}\n"), text
    refused(context, form, "leave out --net none", "tcp:http:80")
    if form != "process":
        # Before the error of a machine that doesn't start there is nothing about ports.
        wrong = [*user, "--qemu-arg=-no-such-option"]
        status, text = ended(context, form, f"serve:{number}", options=wrong)
        assert status == 125 and "leads to" not in text, (status, text)
    shown = context.run(
        SOIL, "run", executable(PROGRAM, form), "--dry-run", *user, "--", "tcp:http:80"
    )
    assert "8080" in shown.stdout, shown.stdout


@in_every_form(limit=120, forms=BOTH)
def a_program_that_answers_badly_is_refused(context, form):
    """A program that ends, fails, prints endlessly or blocks before it reports its needs, and
    invalid answers: each gives its own error. --ignore-needs runs it."""
    refused(context, form, "ended without saying what it needs", "exit:0")
    refused(context, form, 'exception Failure("not yet")', "raise")
    # A busy host's serial line may not carry a mebibyte in the limit of thirty seconds.
    for _ in range(5):
        status, text = ended(context, form, "flood")
        if "did not say what it needs in 30 s" not in text:
            break
    assert status == 125 and "prints endlessly" in text, text
    assert "runs\n" not in text, text
    refused(context, form, "at line 1", "forge:1")
    refused(context, form, "what it needs in 1.5 s", "forever", options=["--timeout", "1.5"])
    refused(context, form, "unknown variant `gpu`", 'forge:"needs":[{"kind":"gpu"}]')
    status, text = ended(context, form, "exit:0", options=["--ignore-needs"])
    assert (status, text) == (0, ""), text


@in_every_form(forms=BOTH)
def a_program_that_only_prints_is_not_checked(context, form):
    """Its output, error output and status are those of `soil run`."""
    words = [SOIL, "run", executable(PROGRAM, form), "--", "volume:data:fat:0", "ends:3"]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=context.remaining(), check=False
    )
    assert (done.returncode, done.stdout, clean(done.stderr)) == (3, "out\n", "err\n"), done
    shown = needs(context, form, "ends:3", check=False)
    assert shown.returncode == 1 and shown.stderr.startswith("err\nsoil: "), shown


@in_every_form(forms=BOTH)
def arguments_by_cmdliner(context, form):
    """`soil-cmdliner`: help and version without the program's needs, usage errors before needs are
    checked, a need that depends on an argument, and the statuses of Cmdliner."""
    program = "tests/programs/soil/terms.exe"

    def run(*words, options=()):
        command = [SOIL, "run", executable(program, form), *options, "--", *words]
        environment = dict(os.environ, TERM="xterm", PAGER="cat")
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=context.remaining(),
            check=False,
            env=environment,
        )
        # Cmdliner 2 writes errors in colours.
        errors = re.sub(r"\x1b\[[\d;]*m", "", clean(done.stderr))
        return done.returncode, clean(done.stdout), errors

    status, page, errors = run("--help")
    assert (status, errors) == (0, "") and "Say PORT." in page and "\b" not in page, page
    assert page.startswith("NAME\n       terms - shows its arguments\n"), page
    # Without `soil run`, an image has no pager either.
    options = ["--ignore-needs", "--env", "TERM=xterm"]
    assert form == "process" or run("--help", options=options) == (0, page, "")
    words = ["--size", "2M", "--wait", "3", "--peer", "[::1]:70", "--peer", "10.0.0.1:9"]
    given = run("word", *words, "--in", "10.0.0.0/8", options=["--ignore-needs"])
    lines = "word 80 /data 2097152 3\n[::1]:70\n10.0.0.1:9\n10.0.0.0/8\nin a task\n"
    assert given == (0, lines, ""), given
    status, output, errors = run()
    # Cmdliner 2 prints the usage before it.
    missing = "terms: required argument WORD is missing\n"
    assert (status, output) == (124, "") and missing in errors, errors
    if form != "process":
        return
    # The library does the rest, and the same in an image.
    assert run("--version") == (0, "1.2.3\n", "")
    status, output, errors = run(options=["--ignore-needs"])
    assert (status, output) == (124, "") and missing in errors, errors
    status, _, errors = run("word", "--port", "0")
    assert status == 124 and "invalid value '0', expected a port from 1 to 65535" in errors, errors
    status, _, errors = run("word")
    assert status == 125 and "--disk data=" in errors, errors
    memory = ["--mount", "/data=memory:1M", "--net", "user", "--dry-run"]
    status, shown, errors = run("word", "--port", "8000", options=memory)
    assert status == 0 and "8000" in shown.replace("--port 8000", ""), (shown, errors)
    lines = "fail 80 /data 65536 0.5\nin a task\n"
    assert run("fail", options=["--ignore-needs"]) == (123, lines, "terms: as asked\n")


@test()
def options_that_cannot_hold_are_refused_before_the_start(context):
    """Sizes without a unit, --pcap with the host's own sockets, an invalid disk option, and --accel
    kvm where QEMU lacks it: each refused with the remedy. For a misspelt disk name, the error
    suggests the requested one."""
    image = executable("examples/hello/main.exe", "microvm")
    process = executable("examples/hello/main.exe", "process")
    made = disk(context, "x.img", 1)

    def said(*words, status=125):
        done = context.run(SOIL, *words, check=False)
        assert done.returncode == status and "Hello" not in done.stdout, done
        return done.stderr

    for words in (
        ("run", image, "--mem", "64"),
        ("disk", "make", context.path("new.img"), "--size", "8388608", "--fs", "fat"),
    ):
        assert "with its unit, such as 64M" in said(*words, status=2), words
    errors = said("run", process, "--net", "host", "--pcap", context.path("frames"))
    assert "--pcap doesn't go with --net host" in errors and "tcpdump" in errors, errors
    errors = said("run", image, "--disk", f"data={made},readonly")
    assert ",sector=BYTES and ,ro" in errors, errors
    qemu = context.path("qemu")
    with open(qemu, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\nexit 1\n")
    os.chmod(qemu, 0o755)
    errors = said("run", image, "--accel", "kvm", "--qemu", qemu)
    assert "leave out --accel kvm" in errors, errors
    status, text = ended(
        context, "microvm", "volume:data:ext4:0", options=["--disk", f"dta={made}"]
    )
    assert status == 125 and "disk dta: the program doesn't ask for it, but for data" in text, text
