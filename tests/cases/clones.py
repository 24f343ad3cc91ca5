"""Two machines resumed from one snapshot, made by QEMU's migration to a file, have no random number
in common, and use no key of a TLS connection that was open.

With a VM generation ID (`-device vmgenid`, q35) this holds from the first number on; without one,
the machine notices the step of its clock within half a second. A VMClock (`-device vmclock`) tells a
snapshot from a mere disruption of the clock, after which the time of day is read again.
"""

import os
import re
import socket
import struct
import time

from harness.console import PATIENCE
from harness.context import ARCH, MACHINES, QEMU, Skip
from harness.qmp import Monitor
from harness.runner import test

from cases.services import authority, folder_of, trusting

PROGRAM = "tests/programs/soil/clones.exe"
SERVER = "tests/programs/tls/tls_server.exe"
PORTS = (40001, 40002)
IDENTIFIER = ("-device", "vmgenid,guid=auto")
VMCLOCK = ("-device", "vmclock")
# Where QEMU has VMClock's page, and fields of it.
VMCLOCK_PAGE = 0xFEFFB000
DISRUPTION_MARKER, FLAGS, GENERATION = 0x10, 0x18, 0x68
GENERATION_PRESENT = 1 << 8
# Sequence numbers of one key and flow are within this distance: 250 a millisecond, for a minute.
NEAR = 60 * 250_000


def start(context, form, tap, name, *words, program=(PROGRAM,), options=()):
    """The machine, with more words for QEMU and options of `soil run`, and its monitor."""
    path = context.path(f"qmp-{name}")
    words = ("-qmp", f"unix:{path},server=on,wait=off", *words)
    options = [*options, *(each for word in words for each in ("--qemu-arg", word))]
    executable, *arguments = program
    child = context.soil(executable, form, *arguments, tap=tap, options=options)
    return child, Monitor(path)


def copy(context, monitor):
    """Copies the running machine; returns the words with which QEMU starts another from the
    copy."""
    state = context.path("state")
    monitor.ask("migrate", uri=f"exec:cat > {state}.part && mv {state}.part {state}")
    until = time.monotonic() + PATIENCE
    while (status := monitor.ask("query-migrate").get("status")) != "completed":
        assert status not in ("failed", "cancelled") and time.monotonic() < until, status
        time.sleep(0.05)
    # QEMU closes the pipe after that; only then is the file complete.
    while not os.path.exists(state):
        assert time.monotonic() < until, "the state wasn't written"
        time.sleep(0.05)
    return "-incoming", f"exec:cat {state}"


def drawn(child, count):
    """The first numbers that the machine has drawn, at least `count`, in order."""
    while True:
        numbers = re.findall(r"drawn ([0-9a-f]{16})\s", child.text)
        if len(numbers) >= count:
            return numbers
        child.wait_line("drawn", after=len(child.lines))


def sequence(tap, port):
    """The guest's initial sequence number for a connection from this port."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x800)) as wire:
        wire.bind((tap.name, 0))
        wire.settimeout(PATIENCE)
        with socket.socket() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.bind((tap.host, port))
            peer.settimeout(PATIENCE)
            peer.connect((tap.guest, 7))
            while True:
                frame = wire.recv(2000)
                if (
                    frame[23] == 6
                    and frame[36:38] == struct.pack("!H", port)
                    and frame[47] & 0x3F == 0x12
                ):
                    return struct.unpack("!I", frame[38:42])[0]


def distant(one, other):
    """Whether some sequence numbers are far from each other."""
    apart = [min((a - b) % 2**32, (b - a) % 2**32) for a, b in zip(one, other)]
    return any(each > NEAR for each in apart)


def clones(context, form, words, skip, notices=True):
    """Copies a running machine, resumes two from the copy, and compares their numbers after the
    first `skip`; and sequence numbers, if a machine `notices` that it goes on from a snapshot."""
    tap = context.tap()
    child, monitor = start(context, form, tap, "original", *words)
    before = drawn(child, 3)
    sequences = [[sequence(tap, port) for port in PORTS]]
    incoming = copy(context, monitor)
    child.drain(0.2)
    original = drawn(child, len(before))
    child.stop()
    # The clock must have advanced by more than its second.
    time.sleep(2.5)
    numbers = []
    for name in ("one", "other"):
        child, _ = start(context, form, tap, name, *words, *incoming)
        numbers.append(drawn(child, skip + 10)[skip:])
        sequences.append([sequence(tap, port) for port in PORTS])
        child.stop()
    assert not set(numbers[0]) & set(numbers[1]), f"clones drew the same: {numbers}"
    assert not set(original) & {*numbers[0], *numbers[1]}, f"drawn again: {original} {numbers}"
    for index in range(3 if notices else 0):
        one, other = sequences[index], sequences[(index + 1) % 3]
        assert distant(one, other), f"sequence numbers of one key: {sequences}"


@test(limit=180)
def clones_know_it_by_their_identifier(context):
    """Two machines resumed from one snapshot with a VM generation ID draw different numbers."""
    need(context, "vmgenid")
    clones(context, "q35", IDENTIFIER, 0)


@test(limit=180)
def clones_know_it_by_their_clock(context):
    """Two machines resumed from one snapshot after some time draw different numbers."""
    clones(context, "microvm", (), 5)


@test(limit=180)
def clones_differ_unnoticed(context):
    """Two machines resumed from one snapshot of which no clock tells them anything draw different
    numbers from the first one on, since the processor has random numbers."""
    if ARCH:
        raise Skip("QEMU's arm64 processors have RNDR in `max` only")
    clones(context, "microvm", ("-rtc", "clock=vm", "-cpu", "max"), 0, notices=False)


def need(context, device):
    if f'"{device}"' not in context.run(QEMU, "-device", "help").stdout:
        raise Skip(f"this {os.path.basename(QEMU)} has no {device}: 10.0 for x86-64 has")


def lag(child):
    """Seconds by which the machine's latest time of day is behind the host's."""
    child.wait_line("time ", after=len(child.lines))
    return time.time() - float(re.findall(r"time ([0-9.]+)\s", child.text)[-1])


def lags(context, form, options):
    """Seconds by which the time of day is behind, before a snapshot and after a resume from it 4
    seconds later."""
    child, monitor = start(context, form, context.tap(), "before", *options)
    drawn(child, 3)
    # Its clock has whole seconds.
    before = lag(child)
    incoming = copy(context, monitor)
    child.stop()
    time.sleep(4)
    child, _ = start(context, form, context.tap(), "after", *options, *incoming)
    drawn(child, 8)
    after = lag(child)
    child.stop()
    return before, after


@test(limit=180)
def the_time_of_day_is_right_after_a_disruption(context):
    """A machine with a VMClock that goes on after a while has the time of day of its clock."""
    need(context, "vmclock")
    before, after = lags(context, "q35", VMCLOCK)
    assert after < before + 2, f"{after:.1f} s behind, {before:.1f} s before"


@test(limit=180)
def the_time_of_day_is_right_after_a_snapshot(context):
    """So has one with a VM generation ID, and one with a real-time clock only."""
    for form, options in ((MACHINES[-1], () if ARCH else IDENTIFIER), (MACHINES[0], ())):
        before, after = lags(context, form, options)
        assert after < before + 2, f"{form}: {after:.1f} s behind, {before:.1f} s before"


class Server:
    """A machine with a TLS server, in q35 with these words for QEMU, and its clients."""

    def __init__(self, context, words):
        self.context, self.words, self.tap = context, words, context.tap()
        folder = authority(context, "soil.test", "other.test")
        self.inside, self.disk = folder_of(context, "q35", folder)
        self.trusted = trusting(folder)

    def started(self, name, *words):
        """The machine and its monitor."""
        program, words = (SERVER, self.inside), (*self.words, *words)
        return start(
            self.context, "q35", self.tap, name, *words, program=program, options=self.disk
        )

    def connected(self):
        connection = socket.create_connection((self.tap.guest, 8443), PATIENCE)
        return self.trusted.wrap_socket(connection, server_hostname="soil.test")


def ask(connection):
    connection.sendall(b"GET /facts HTTP/1.1\r\n\r\n")


def works(connection):
    """The server answers a request."""
    ask(connection)
    answer = b""
    while not answer.endswith(b"1.3 - full -\n"):
        piece = connection.recv(1000)
        assert piece, answer
        answer += piece


def ends(connection, child):
    """The server ends the connection instead of an answer, because of a snapshot."""
    ask(connection)
    try:
        answer = connection.recv(1000)
    except ConnectionResetError:
        answer = b""
    assert answer == b"", answer
    child.wait_line("failed: the machine goes on from a snapshot")


@test(limit=180)
def clones_end_open_tls_connections(context):
    """A TLS connection that was open in a snapshot ends at its next use, unanswered, in each of two
    machines resumed from it, which serve new ones."""
    need(context, "vmgenid")
    server = Server(context, IDENTIFIER)
    child, monitor = server.started("original")
    child.wait_line("ready")
    server.tap.wait_up()
    connections = {name: server.connected() for name in ("one", "other")}
    for connection in connections.values():
        works(connection)
    incoming = copy(context, monitor)
    child.stop()
    for name, connection in connections.items():
        child, _ = server.started(name, *incoming)
        ends(connection, child)
        works(server.connected())
        child.stop()


class Memory:
    """Writes to a running machine's memory, by the protocol of QEMU's own tests."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)
        self.file = self.socket.makefile("rw", encoding="ascii")

    def write(self, address, value):
        """Writes eight bytes."""
        self.file.write(f"writeq {address:#x} {value:#x}\n")
        self.file.flush()
        answer = self.file.readline()
        assert answer == "OK\n", answer


@test(limit=180)
def a_vmclock_tells_a_snapshot_from_a_disruption(context):
    """A TLS connection stays open when VMClock's disruption marker changes, as after a live
    migration, and ends when its counter of generations does, as after a snapshot."""
    need(context, "vmclock")
    path = context.path("memory")
    words = ("-qtest", f"unix:{path},server=on,wait=off", "-qtest-log", "none")
    server = Server(context, VMCLOCK)
    child, _ = server.started("only", *words)
    child.wait_line("ready")
    server.tap.wait_up()
    memory = Memory(path)
    memory.write(VMCLOCK_PAGE + GENERATION, 7)
    memory.write(VMCLOCK_PAGE + FLAGS, GENERATION_PRESENT)
    works(server.connected())
    connection = server.connected()
    works(connection)
    memory.write(VMCLOCK_PAGE + DISRUPTION_MARKER, 1)
    works(connection)
    memory.write(VMCLOCK_PAGE + GENERATION, 8)
    ends(connection, child)
    works(server.connected())
    child.stop()
