"""The console of a machine without `soil run`: a UART or a port of virtio-serial, with a reader that
is late, slow or absent. The output of a machine with `soil run` by a port."""

import os
import re
import socket
import subprocess
import time

from cases.machines import Bare, attach
from harness.console import PATIENCE
from harness.context import ARCH, MACHINES, REFERENCE, TRANSPORT, command
from harness.runner import test

PROGRAM = "tests/programs/soil/console_work.exe"
OUTPUT = "tests/programs/consoles/output.exe"
# Without it only machines under KVM have the port.
BY_PORT = ("--env", "SOIL_CONSOLE=output")
# Of arm64's machines each has a UART.
WITHOUT_UART = "virt" if ARCH else "microvm,isa-serial=off"
TWO_MACHINES = ("virt",) if ARCH else (WITHOUT_UART, "q35")
BY_VARIABLE = ("virt",) if ARCH else ("microvm", "q35", "pc")


def suffix(machine):
    return TRANSPORT[machine.split(",")[0]]


LINE = len("line 000001 of a console\n")
ROOM = 16 << 10  # as in kernel/src/console/pending.rs


def port(machine, kind="virtconsole", chardev="stdio,id=port,signal=off", name="", options=""):
    """The options of a port of virtio-serial; `options` are of the device."""
    # A microvm finds its last device first.
    return (
        *("-global", "virtio-mmio.force-legacy=false"),
        *("-device", f"virtio-serial-{suffix(machine)}{options}", "-chardev", chardev),
        *("-device", f"{kind},chardev=port" + (f",name={name}" if name else "")),
    )


def network(tap, machine):
    return (
        *("-netdev", f"tap,id=net,ifname={tap.name},script=no,downscript=no"),
        *("-device", f"virtio-net-{suffix(machine)},netdev=net"),
    )


def address(tap):
    return f"SOIL_IP={tap.guest_cidr} SOIL_GATEWAY={tap.host}"


def tell(tap, line):
    """Has the program write a line, and waits until it has done so."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            connection = socket.create_connection((tap.guest, 7), timeout=PATIENCE)
            break
        except (ConnectionRefusedError, OSError):
            # The program still writes its first lines.
            assert time.monotonic() < until, "the program doesn't go on"
            time.sleep(0.1)
    with connection:
        connection.sendall(line.encode() + b"\n")
        assert connection.makefile().readline() == "written\n"


def read_until(attached, end):
    """What the console gives until `end`."""
    text = b""
    while not text.replace(b"\r", b"").endswith(end.encode()):
        piece = attached.recv(65536)
        assert piece, text[-200:]
        text += piece
    return text.decode().replace("\r", "")


def check_dropped(text, count, ends):
    """The console has the beginning of `count` lines, how much was dropped, and `ends`; nothing is
    lost without being counted."""
    whole = "".join(f"line {i:06} of a console\n" for i in range(1, count + 1))
    kept, dropped, rest = re.split(r"\n?soil: (\d+) bytes of output dropped\n", text)
    assert rest == ends, rest
    whole_line = whole.startswith(kept + "\n")
    assert kept and whole.startswith(kept), kept[-200:]
    return len(kept) + whole_line, int(dropped)


@test(limit=120)
def a_virtio_console(context):
    """Without a UART, or by SOIL_CONSOLE=virtio beside one: input, output, the status, and a crash
    report. SOIL_CONSOLE=uart uses no other."""
    cases = [(machine, "SOIL_CONSOLE=virtio") for machine in BY_VARIABLE]
    if not ARCH:
        cases.append((WITHOUT_UART, ""))
    for machine, variables in cases:
        name = f"echo{len(variables)}"
        bare = Bare(
            context, PROGRAM, machine, "echo", serial="null", devices=port(machine),
            append=variables, name=name,
        )  # fmt: skip
        bare.child.wait_line("ready")
        bare.child.process.stdin.write(b"one\ntwo\nend\n")
        bare.child.process.stdin.flush()
        _, text, _ = bare.ends()
        # The terminal's echo of the input may be anywhere between.
        for part in ("ready\n", "got [one]\n", "got [two]\n"):
            assert part in text, f"{machine}: {text!r}"
        assert text.endswith("soil: status 5\n"), f"{machine}: {text!r}"
        bare = Bare(
            context, PROGRAM, machine, "abort", serial="null", devices=port(machine),
            append=variables, name=f"abort{len(variables)}",
        )  # fmt: skip
        _, text, _ = bare.ends()
        assert text.startswith("before\nsoil: crash: the program ended"), f"{machine}: {text!r}"
        assert text.endswith("soil: status 134\n"), f"{machine}: {text!r}"
    machine = WITHOUT_UART
    bare = Bare(
        context, PROGRAM, machine, "abort", serial="null", devices=port(machine),
        append="SOIL_CONSOLE=uart", name="uart",
    )  # fmt: skip
    assert bare.ends()[1] == ""


@test()
def a_legacy_virtio_console(context):
    """A virtio-serial device with nothing but I/O ports, with MSI-X and without."""
    for machine in ("q35", "pc"):
        for vectors in ("", ",vectors=0"):
            options = f",disable-modern=on,disable-legacy=off{vectors}"
            bare = Bare(
                context, PROGRAM, machine, "echo", serial="null",
                devices=port(machine, options=options), append="SOIL_CONSOLE=virtio",
                name=f"{machine}{len(vectors)}",
            )  # fmt: skip
            bare.child.wait_line("ready")
            bare.child.process.stdin.write(b"one\ntwo\nend\n")
            bare.child.process.stdin.flush()
            _, text, _ = bare.ends()
            assert "got [one]\n" in text and "got [two]\n" in text, f"{machine}: {text!r}"
            assert text.endswith("soil: status 5\n"), f"{machine}: {text!r}"


@test(limit=120)
def a_reader_that_is_late(context):
    """Nobody is attached to the port: the first 16 KiB wait, the rest is dropped and counted, and
    the program goes on at once. A reader that attaches gets what waited, the count, and what follows."""
    for machine in TWO_MACHINES:
        tap = context.tap()
        path = context.path(f"{machine.split(',')[0]}.console")
        chardev = f"socket,id=port,path={path},server=on,wait=off"
        devices = port(machine, "virtserialport", chardev, "org.soil.console")
        bare = Bare(
            context, PROGRAM, machine, "pour", "2000", serial="null",
            devices=[*devices, *network(tap, machine)],
            append=f"SOIL_CONSOLE=virtio {address(tap)}",
        )  # fmt: skip
        tell(tap, "nobody reads this")
        with attach(path) as attached:
            tell(tap, "attached")
            text = read_until(attached, "attached\n")
            kept, dropped = check_dropped(text, 2000, "attached\n")
            written = 2000 * LINE + len("nobody reads this\n")
            # Of the last 80 bytes a line takes all or nothing.
            assert ROOM - 80 <= kept <= ROOM, f"{machine}: {kept}"
            assert kept + dropped == written, f"{machine}: {kept} + {dropped}, not {written}"
            tell(tap, "end")
            assert read_until(attached, "soil: status 0\n") == "end\nsoil: status 0\n"
        bare.ends()


@test(limit=240)
def a_reader_that_reads_nothing(context):
    """Someone is attached and reads nothing: the program waits for ten seconds, then output is
    dropped and counted, and the program goes on."""
    count, machine = 20_000, WITHOUT_UART
    tap = context.tap()
    path = context.path("console")
    chardev = f"socket,id=port,path={path},server=on,wait=on"
    devices = port(machine, "virtserialport", chardev, "org.soil.console")
    bare = Bare(
        context, PROGRAM, machine, "pour", str(count), serial="null",
        devices=[*devices, *network(tap, machine)],
        append=f"SOIL_CONSOLE=virtio {address(tap)}", attached=path,
    )  # fmt: skip
    tell(tap, "nobody reads this")
    with bare.attached as attached:
        text = read_until(attached, "bytes of output dropped\n")
        tell(tap, "read again")
        text += read_until(attached, "read again\n")
        kept, dropped = check_dropped(text, count, "read again\n")
        written = count * LINE + len("nobody reads this\n")
        assert kept + dropped == written, f"{kept} + {dropped}, not {written}"
        tell(tap, "end")
        read_until(attached, "soil: status 0\n")
    bare.ends()


def outcome_of(context, form, *arguments, program=OUTPUT, options=(), **others):
    """A program's status, output and error output."""
    if form != REFERENCE:
        options = [*BY_PORT, *options]
    words = command(program, form, arguments, options=options)
    done = subprocess.run(
        words, capture_output=True, timeout=context.remaining(), check=False, **others
    )
    return done.returncode, done.stdout, done.stderr


@test(limit=120)
def output_by_a_port(context):
    """Both streams, a line of 100 KB, lines of domains on two processors, input, the status, and the
    report of a crash in the middle of a line arrive as by the serial line."""
    for form in MACHINES:
        for mode in ("both", "large", "exit"):
            got, wanted = (outcome_of(context, each, mode) for each in (form, REFERENCE))
            assert got == wanted, f"{form} {mode}: {got}"[:2000]
        got = outcome_of(context, form, "domains", options=["--cpus", "2"])
        assert got[0] == 0, f"{form}: {got}"[:2000]
        for stream, numbers in ((got[1], (0, 2)), (got[2], (1, 3))):
            # One of them is about the number of domains.
            lines = [line for line in stream.decode().splitlines() if line.startswith("domain ")]
            for number in numbers:
                own = [line for line in lines if line.startswith(f"domain {number}, ")]
                every = [f"domain {number}, line {i} of many" for i in range(1, 51)]
                assert own == every, f"{form}: {own}"[:2000]
            assert len(lines) == 100, f"{form}: {stream}"[:2000]
        status, output, errors = outcome_of(context, form, "abort")
        assert (status, output) == (134, b"in the middle"), f"{form}: {status} {output} {errors}"
        assert errors.startswith(b"\nsoil: crash: the program ended itself by SIGABRT"), errors
        status, output, errors = outcome_of(context, form, "fault")
        assert (status, output) == (139, b"before\n"), f"{form}: {status} {output} {errors}"
        assert errors.startswith(b"in the middle\nsoil: crash: page fault"), errors
        got = outcome_of(context, form, "echo", program=PROGRAM, input=b"one\ntwo\nend\n")
        assert got == (5, b"ready\ngot [one]\ngot [two]\n", b""), f"{form}: {got}"


def streams(line):
    """The bytes of each stream of a framed line (kernel/src/console/framing.rs)."""
    found, current = {}, "O"
    for piece in re.finditer(rb"\x10(.)|([^\x10]+)", line, re.DOTALL):
        mark, text = piece.groups()
        if mark is not None and mark != b"\x10":
            current = mark.decode()
        else:
            found[current] = found.get(current, b"") + (mark or text)
    return found


def apart(context, machine, mode, port_path, name):
    """A machine whose UART and port lead to files of their own: what the UART got."""
    serial = context.path(f"{name}.serial")
    chardev = f"file,id=port,path={port_path},append=on"
    devices = port(machine, "virtserialport", chardev, "org.soil.output")
    bare = Bare(
        context, OUTPUT, machine, mode, serial=f"file:{serial}", devices=devices,
        append="SOIL_CONSOLE=pipe,output", name=name,
    )  # fmt: skip
    bare.ends()
    with open(serial, "rb") as file:
        return file.read()


@test()
def a_port_takes_over_from_the_uart(context):
    """With the two apart, the port gets all of a program's output, each byte once, and the UART the
    report of a crash."""
    for machine in BY_VARIABLE:
        for mode in ("both", "abort"):
            name = f"{machine}-{mode}"
            path = context.path(f"{name}.port")
            open(path, "wb").close()
            by_uart = apart(context, machine, mode, path, name)
            with open(path, "rb") as file:
                by_port = file.read()
            _, output, errors = outcome_of(context, REFERENCE, mode)
            wanted = {"O": output, "E": errors} if mode == "both" else {"O": b"in the middle"}
            got = streams(by_port)
            status = got.pop("C", b"") + streams(by_uart).get("C", b"")
            assert got == wanted, f"{name}: {by_port}"[:2000]
            assert status.endswith(b"SOIL-EXIT 000\n" if mode == "both" else b"SOIL-EXIT 134\n")
            report = streams(by_uart).get("E", b"")
            assert report.startswith(b"\nsoil: crash: ") == (mode == "abort"), f"{name}: {by_uart}"


@test()
def a_port_that_takes_no_more(context):
    """The UART gets what a port doesn't take for five seconds, and the rest: each byte once, in
    order."""
    machine = BY_VARIABLE[0]
    path = context.path("pipe")
    os.mkfifo(path)
    reader = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    by_uart = apart(context, machine, "large", path, "full")
    by_port = b""
    with open(reader, "rb", buffering=0) as pipe:
        while piece := pipe.read(65536):
            by_port += piece
    _, output, errors = outcome_of(context, REFERENCE, "large")
    assert 4096 < len(by_port) < len(output), len(by_port)
    got = streams(by_port + by_uart)
    note = b"\nsoil: the console's port is out of use: the serial port has its output\n"
    assert got["E"] == note + errors, got["E"]
    assert got["O"] == output and b"SOIL-EXIT 000\n" in got["C"], f"{len(got['O'])} bytes"
