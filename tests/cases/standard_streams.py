"""Standard input, output and error output: every byte unchanged and in order, however slowly the
other end reads or writes."""

import fcntl
import itertools
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time

from cases.network import machine_pid
from harness.console import PATIENCE, cpu_seconds, sleeps
from harness.context import FORMS, MACHINES, REFERENCE, command, launcher
from harness.runner import test

PAUSED = "tests/programs/soil/paused.exe"


def run(context, form, *arguments, program="streams", **options):
    """Runs a program to its end: (status, standard output, error output)."""
    done = subprocess.run(
        command(program, form, arguments),
        capture_output=True,
        timeout=context.remaining(),
        check=False,
        **options,
    )
    return done.returncode, done.stdout, done.stderr


def all_bytes():
    """Every byte value, pairs with those special to a serial line or a terminal, and noise: more
    than a pipe holds."""
    special = (0x00, 0x03, 0x04, 0x0A, 0x0D, 0x10, 0x11, 0x13, 0x14, 0x7F, 0xFF)
    pairs = itertools.product(special, repeat=3)
    noise = random.Random(9).randbytes(100_000)
    return bytes(range(256)) + b"".join(map(bytes, pairs)) + noise


@test(limit=120)
def every_byte_of_a_pipe_and_a_file(context):
    """Standard input from a pipe or a file arrives byte for byte, and ends."""
    data = all_bytes()
    path = context.path("input")
    with open(path, "wb") as file:
        file.write(data)
    said = f"{len(data)} bytes, then 0\n".encode()
    for form in FORMS:
        status, output, errors = run(context, form, "copy", input=data)
        assert (status, output == data, errors) == (0, True, said), (
            f"{form}: {status} {len(output)} {errors}"
        )
        with open(path, "rb") as file:
            status, output, errors = run(context, form, "copy", stdin=file)
        assert (status, output == data, errors) == (0, True, said), (
            f"{form}: {status} {len(output)} {errors}"
        )


@test()
def input_that_is_empty_or_closed(context):
    """Standard input that is empty or /dev/null ends at once."""
    for form in FORMS:
        for options in ({"input": b""}, {"stdin": subprocess.DEVNULL}):
            status, output, errors = run(context, form, "copy", **options)
            assert (status, output, errors) == (0, b"", b"0 bytes, then 0\n"), (
                f"{form}: {status} {output} {errors}"
            )


@test()
def lines_of_a_pipe(context):
    """The first byte, a last line without a newline, carriage returns, Ctrl-D and Ctrl-T have no
    special meaning."""
    expected = 'ready\nline 0: "alpha\\r"\nline 1: "\\004\\020\\016beta"\nend after 2\n'
    for form in FORMS:
        for _ in range(3):
            status, output, errors = run(context, form, "lines", input=b"alpha\r\n\x04\x14\x10beta")
            assert (status, output.decode(), errors) == (0, expected, b""), (
                f"{form}: {output} {errors}"
            )


@test()
def input_that_nobody_reads_is_left_to_others(context):
    """A program that reads no standard input consumes none of it."""
    path = context.path("input")
    with open(path, "wb") as file:
        file.write(b"for the next one\n")
    for form in FORMS:
        with open(path, "rb") as file:
            status, _, _ = run(context, form, program="examples/hello/main.exe", stdin=file)
            assert status == 0 and os.lseek(file.fileno(), 0, os.SEEK_CUR) == 0, (
                f"{form}: the input is gone"
            )


@test()
def error_output_is_apart(context):
    """Standard error of a machine is kept apart from its standard output, byte for byte."""
    expected = run(context, REFERENCE, "both")
    assert expected[1].count(b"\x10") == 100 and expected[2].count(b"\x10") == 200
    for form in MACHINES:
        assert run(context, form, "both") == expected, form
        together = subprocess.run(
            command("streams", form, ["both"]),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=context.remaining(),
            check=True,
        )
        pairs = (b"out %d \x10\nerr %d \x10\x10\n" % (i, i) for i in range(1, 101))
        assert together.stdout == b"".join(pairs), f"{form}: {together.stdout}"


@test()
def pointers_that_lead_nowhere(context):
    """EFAULT, where a fault in the console would stop the machine; the bytes before such a piece
    are written."""
    for form in FORMS:
        status, output, errors = run(context, form, "pointers", input=b"a line\n")
        *answers, last = output.replace(b"piece 7:", b"7:").decode().splitlines()
        assert status == 0 and last == 'then "a line"', f"{form}: {status} {output} {errors}"
        expected = [f"{which}: 14" for which in range(7)] + ["7: -6", "8: 0"]
        if form == "process":
            # Whether a pipe gets the first piece depends in Linux on the descriptor's kind.
            answers[7] = expected[7]
        assert answers == expected, f"{form}: {output}"


class Terminal:
    """A pseudoterminal with a program on it."""

    def __init__(self, context, words, **options):
        self.master, slave = os.openpty()
        self.text = b""
        self.process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, **options
        )
        os.close(slave)
        self.context = context

    def type(self, keys):
        os.write(self.master, keys)

    def see(self, text):
        """Waits until the screen shows `text` after the text seen before."""
        deadline = time.monotonic() + min(PATIENCE, self.context.remaining())
        while text not in self.text:
            ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{text!r} isn't shown; but: {self.text!r}"
            try:
                self.text += os.read(self.master, 4096)
            except OSError as problem:  # EIO: the program has ended
                raise AssertionError(f"{text!r} isn't shown; but: {self.text!r}") from problem
        self.text = self.text.split(text, 1)[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@test()
def a_terminal(context):
    """Lines are edited and echoed while typed; Ctrl-D ends the input, which may continue."""
    for form in FORMS:
        with Terminal(context, command("streams", form, ["lines", "again"])) as terminal:
            terminal.see(b"ready\r\n")
            terminal.type(b"junk\x15helx\x7flo")
            terminal.see(b"helx\x08 \x08lo")
            terminal.type(b"\n")
            terminal.see(b'line 0: "hello"\r\n')
            terminal.type(b"more\x04\n")
            terminal.see(b'line 1: "more"\r\n')
            terminal.type(b"\x04")
            terminal.see(b"end after 2\r\n")
            terminal.type(b"new\n\x04")
            terminal.see(b'line 0: "new"\r\n')
            terminal.see(b"end after 1\r\n")
            assert terminal.process.wait(context.remaining()) == 0, form


@test()
def a_terminal_at_a_bare_machine(context):
    """QEMU without `soil run`: the machine itself edits lines."""
    for form in MACHINES:
        words = launcher(context, "streams", form, ["lines", "again"])
        with Terminal(context, words, cwd=context.directory) as terminal:
            terminal.see(b"ready\r\n")
            terminal.type("junk\x15helü\x7flo\r".encode())
            terminal.see("helü\x08 \x08lo\r\n".encode())
            terminal.see(b'line 0: "hello"\r\n')
            terminal.type(b"both\r\nends\r\x04")
            terminal.see(b'line 1: "both"\r\n')
            terminal.see(b'line 2: "ends"\r\n')
            terminal.see(b"end after 3\r\n")
            terminal.type(b"new\r\x04")
            terminal.see(b'line 0: "new"\r\n')
            terminal.see(b"end after 1\r\n")
            terminal.process.wait(context.remaining())


def reader_of(stream):
    """Reads `stream` to its end in a thread; returns the list that receives the data, and the
    thread."""
    pieces = []
    thread = threading.Thread(
        target=lambda: pieces.extend(iter(lambda: os.read(stream.fileno(), 65536), b""))
    )
    thread.start()
    return pieces, thread


def paused(context, form, manner, meanwhile):
    """A program writes more than all pipes hold while its reader pauses, for as long as
    `meanwhile(guest)` runs and longer than any timeout in between; `meanwhile` ends by letting the
    program crash. Returns (status, standard output, error output)."""
    tap = context.tap()
    tap.wait_free()
    words = command(PAUSED, form, [manner, "40000"], tap=tap)
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, start_new_session=True
    ) as child:
        try:
            assert child.stderr.readline() == b"ready\n"
            errors, second = reader_of(child.stderr)
            meanwhile(tap.guest)
            output, first = reader_of(child.stdout)
            second.join(context.remaining())
            first.join(context.remaining())
            return child.wait(context.remaining()), b"".join(output), b"".join(errors)
        finally:
            child.kill()


EXPECTED = b"".join(b"line %08d of the output\n" % i for i in range(40000))
PAUSE = 5  # seconds: the transmitter once counted as dead after two


def echoes(guest):
    """Exchanges messages while the reader pauses, then lets the program end, which doesn't show
    yet."""
    end = time.monotonic() + PAUSE
    while time.monotonic() < end:
        with socket.create_connection((guest, 7), timeout=PATIENCE) as peer:
            peer.settimeout(PATIENCE)
            peer.sendall(b"hello")
            assert peer.recv(5, socket.MSG_WAITALL) == b"hello"
        time.sleep(0.02)
    socket.create_connection((guest, 9), timeout=PATIENCE).close()


@test(limit=120)
def a_reader_that_pauses_stops_its_writer_alone(context):
    """The writing task waits; others, the log and the network continue; a crash report waits as
    well. Nothing is lost."""
    for form in FORMS:
        status, output, errors = paused(context, form, "task", echoes)
        assert status == 134, f"{form}: status {status}: {errors}"
        assert len(output) > 50000 and EXPECTED.startswith(output), (
            f"{form}: {len(output)} bytes, {output[-100:]}"
        )
        # With the time of day (RFC 3339).
        line = rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z soil: warning: an echo$"
        assert re.search(line, errors.replace(b"\r", b""), re.MULTILINE), f"{form}: {errors}"
        if form != "process":
            assert b"soil: crash: the program ended itself by SIGABRT\n" in errors, (
                f"{form}: {errors}"
            )


@test(limit=120)
def a_reader_that_pauses_and_a_program_without_tasks(context):
    """The program blocks in `write`, its network answers, and all output arrives in the end."""

    def meanwhile(guest):
        end = time.monotonic() + PAUSE
        while time.monotonic() < end:
            # Only the network stack answers: the program doesn't get to accept the connection.
            socket.create_connection((guest, 7), timeout=PATIENCE).close()
            time.sleep(0.1)

    def ends(guest):
        meanwhile(guest)
        threading.Thread(
            target=lambda: socket.create_connection((guest, 9), timeout=PATIENCE).close()
        ).start()

    for form in FORMS:
        status, output, errors = paused(context, form, "plain", ends)
        assert status == 134, f"{form}: status {status}: {errors}"
        assert output == EXPECTED and b"written\n" in errors, (
            f"{form}: {len(output)} bytes, {errors}"
        )


def in_output(pid):
    """The number of bytes in the pipe of a process's standard output, and whether it has room."""
    pipe = os.open(f"/proc/{pid}/fd/1", os.O_WRONLY | os.O_NONBLOCK)
    try:
        count = fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))
        room = bool(select.select([], [pipe], [], 0)[1])
        return int.from_bytes(count, sys.byteorder), room
    finally:
        os.close(pipe)


def wait_full(*children):
    """Waits until each child's standard output and all buffers before it are full, and the program
    waits: it sleeps, or has used 50 ms of a processor without writing a byte. In a second without
    output it may just not be scheduled."""
    until = time.monotonic() + PATIENCE
    for child in children:
        held, since = None, 0
        while True:
            writer = machine_pid(child)
            outputs = [in_output(pid) for pid in (child.pid, writer)]
            used = cpu_seconds(writer)
            if outputs != held or any(room for _, room in outputs):
                held, since = outputs, used
            elif used > since + 0.05 or (used == since and sleeps(writer)):
                break
            assert time.monotonic() < until, f"{child.args}: {outputs} bytes, room"
            time.sleep(0.3)


# Seconds for a handler to run. With a late handler, its write would continue and look as if it
# hadn't waited: the test repeats with a longer time. `soil run` ends a machine 15 seconds after the
# signal, so the rest of the output has to arrive within the remaining time.
PAUSES = (1, 4, 9)
# Bytes that a program writes in all: more than its pipes hold (160 KiB from a machine), and not
# much more.
OUTPUT = 200_000


@test(limit=60)
def signals_and_writes(context):
    """The call returns the number of bytes written before the signal; before the first byte, it
    behaves as a read does."""
    cases = {"write-bytes": 1, "write-bytes-restart": 0, "write-much": 1, "write-much-restart": 1}
    for form in FORMS:
        for pause in PAUSES:
            late = []
            for how, errors in interrupted_writes(context, form, cases, pause).items():
                if errors != f"{how}: {cases[how]}, errno 0, signals: 1\n":
                    late.append(errors)
                    assert re.fullmatch(f"{how}: 0, errno 0, signals: [01]\n", errors), (
                        f"{form}: {errors}"
                    )
            if not late:
                break
            print(f"{form}: {pause} s are too short here: {late}")
        assert not late, f"{form}: {late}"


def interrupted_writes(context, form, cases, pause):
    """The error output of the programs of these cases, by case: each gets a signal during its
    write, whose reader starts a pause later."""
    children = [
        subprocess.Popen(
            command("calls", form, [f"interrupted-{how}"]),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for how in cases
    ]
    try:
        wait_full(*children)
        for child in children:
            child.send_signal(signal.SIGTERM)
        time.sleep(pause)
        # All at once: the last one would have to wait for the others longer than its machine may
        # run.
        readers = [(reader_of(child.stdout), reader_of(child.stderr)) for child in children]
        said = {}
        for child, how, streams in zip(children, cases, readers, strict=True):
            for _, thread in streams:
                thread.join(context.remaining())
            output, errors = (b"".join(pieces) for pieces, _ in streams)
            status = child.wait(context.remaining())
            assert len(output) == OUTPUT and status == 0, f"{form}, {how}: {len(output)}, {status}"
            said[how] = errors.decode()
        return said
    finally:
        for child in children:
            child.kill()
            child.wait()


@test(limit=60)
def a_reader_that_never_comes_back(context):
    """The machines end although nothing reads their output: by a stop request, and with a crash.
    Until then they blocked."""
    tap = context.tap()
    tap.wait_free()
    stopped = command("streams", "microvm", ["pour", "10000000"])
    aborted = command(PAUSED, "q35", ["task", "40000"], tap=tap)
    children = [
        subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        for words in (stopped, aborted)
    ]
    try:
        wait_full(*children)
        machines = [machine_pid(child) for child in children]
        children[0].send_signal(signal.SIGTERM)
        socket.create_connection((tap.guest, 9), timeout=PATIENCE).close()
        for child, machine, status in zip(children, machines, (143, 134), strict=True):
            while os.path.exists(f"/proc/{machine}/fd/0"):
                time.sleep(0.1)
            output = child.stdout.read()
            assert child.wait(context.remaining()) == status, (
                f"{child.args}: status {child.returncode}"
            )
            assert len(output) > 65536, f"{child.args}: {len(output)} bytes"
    finally:
        for child in children:
            child.kill()
            child.wait()
            child.stdout.close()
