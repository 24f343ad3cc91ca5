"""The network works while a task computes without a pause, and the computation is undisturbed."""

import errno
import fcntl
import os
import select
import signal
import socket
import struct
import termios
import threading
import time

from cases.network import icmp_echo, in_every_form, machine_pid, services
from cases.programs import Program
from harness.console import PATIENCE, falls_asleep, least_processor_time
from harness.context import MACHINES, executable, outcome
from harness.runner import test

BUSY = "tests/programs/soil/busy.exe"
# Seconds of the program's computation. If it ends before the host has finished its checks, the test
# repeats with a longer one.
SECONDS = (6, 40, 160)
BACKLOG = 50
LARGE = 1_000_000


class Pinger:
    """Sends an echo request every `interval` seconds, whether or not answers arrive, and counts the
    answers."""

    def __init__(self, tap, interval):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.socket.connect((tap.guest, 0))
        self.times, self.answered, self.slowest = [], set(), 0.0
        self.ended, self.heard = threading.Event(), time.monotonic()
        self.threads = [
            threading.Thread(target=self.send, args=(interval,), daemon=True),
            threading.Thread(target=self.receive, daemon=True),
        ]
        for thread in self.threads:
            thread.start()

    def send(self, interval):
        while not self.ended.wait(interval) and len(self.times) < 0x10000:
            number = len(self.times)
            self.times.append(time.monotonic())
            try:
                self.socket.send(icmp_echo(number, b"%05d" % number * 11 + b"."))
            except OSError:
                pass  # the address has not been resolved: the ping counts as lost

    def receive(self):
        while not self.ended.is_set() or len(self.answered) < len(self.times):
            if not select.select([self.socket], [], [], 0.05)[0]:
                if self.ended.is_set() and time.monotonic() > self.heard + 10:
                    return
                continue
            self.heard = time.monotonic()
            try:
                answer = self.socket.recv(65536, socket.MSG_DONTWAIT)[20:]
            except OSError:
                continue
            number = int.from_bytes(answer[6:8])
            if answer[0] == 0 and number < len(self.times) and number not in self.answered:
                self.answered.add(number)
                self.slowest = max(self.slowest, time.monotonic() - self.times[number])

    def __str__(self):
        return f"{len(self.answered)} of {len(self.times)} pings answered, the slowest after {self.slowest:.3f} s"

    def end(self):
        """Waits for outstanding answers, until none has arrived for ten seconds."""
        self.heard = time.monotonic()
        self.ended.set()
        for thread in self.threads:
            thread.join()
        self.socket.close()


class Absent:
    """A peer that answers ARP but no TCP; counts the SYNs that it receives."""

    MAC = b"\x02\0\0\0\0\x99"

    def __init__(self, tap, address):
        self.address = socket.inet_aton(address)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.bind((tap.name, 0))
        self.syns = []
        threading.Thread(target=self.loop, daemon=True).start()

    def loop(self):
        while True:
            try:
                frame = self.socket.recv(65536)
            except OSError:
                return  # the TAP is gone
            kind, payload = frame[12:14], frame[14:]
            if kind == b"\x08\x06" and payload[6:8] == b"\0\1" and payload[24:28] == self.address:
                asker = payload[8:18]
                head = asker[:6] + self.MAC + b"\x08\x06\0\1\x08\0\6\4\0\2"
                self.socket.send(head + self.MAC + self.address + asker + bytes(18))
            elif kind == b"\x08\0" and payload[9] == 6 and payload[16:20] == self.address:
                if payload[4 * (payload[0] & 15) + 13] & 2:
                    self.syns.append(time.monotonic())


def unacknowledged(connection):
    """Bytes in the sending queue that the peer hasn't acknowledged."""
    return struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0]


def send_what_fits(connection, data, patience):
    """Sends until the peer accepts nothing for `patience` seconds; returns the number of bytes."""
    sent, last = 0, time.monotonic()
    while sent < len(data) and time.monotonic() < last + patience:
        try:
            sent += connection.send(data[sent:])
            last = time.monotonic()
        except OSError as problem:
            assert problem.errno == errno.EAGAIN, problem
            time.sleep(0.01)
    return sent


def receive(connection, length):
    pieces = bytearray()
    while len(pieces) < length and (piece := connection.recv(65536)):
        pieces += piece
    return bytes(pieces)


@in_every_form(limit=120, name="computing-without-allocation")
def plain(context, form):
    """Pings and timers continue while a program computes and allocates nothing."""
    starves_nothing(context, form, "plain")


@in_every_form(limit=120, name="computing-with-allocation")
def allocating(context, form):
    """Pings and timers continue while a program computes and allocates."""
    starves_nothing(context, form, "allocating")


class Late(Exception):
    """The program ended its work before the host had finished its checks."""


def in_time(context, attempt):
    """Runs `attempt(seconds)` until the program works for long enough."""
    for seconds in SECONDS:
        try:
            return attempt(seconds)
        except Late as late:
            print(f"{seconds} s are too short here: {late}")
    raise AssertionError("in none of these times all was seen")


def starves_nothing(context, form, manner):
    """During a few seconds of computation: pings answered, the backlog filled, a megabyte
    acknowledged up to the window, a SYN repeated."""
    in_time(context, lambda seconds: starved(context, form, manner, seconds))


def starved(context, form, manner, seconds):
    tap = context.tap()
    nobody = f"{tap.prefix}.77"
    absent = Absent(tap, nobody)
    child = context.soil(BUSY, form, manner, str(seconds), nobody, tap=tap)
    child.wait_line("ready")
    control = socket.create_connection((tap.guest, 80), timeout=PATIENCE)
    control.sendall(b"go\n")
    child.wait_line("computing")
    start = time.monotonic()
    pinger = Pinger(tap, 0.1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.connect((tap.guest, 7))
        datagrams.send(b"are you there?")
        connections = [
            socket.create_connection((tap.guest, 7), timeout=PATIENCE) for _ in range(BACKLOG)
        ]
        data = os.urandom(LARGE)
        large = connections[0]
        large.setblocking(False)
        sent = send_what_fits(large, data, 1)
        taken = sent - unacknowledged(large)
        for number, connection in enumerate(connections[1:]):
            connection.sendall(b"number %d\n" % number)
        time.sleep(max(0, start + 0.8 * seconds - time.monotonic()))
        waiting = [unacknowledged(connection) for connection in connections[1:]]
        syns = len(absent.syns)
        pinger.end()
        child.drain(0)
        # All checks preceded this line, after which the program serves its network itself again.
        if "computed" in child.text:
            child.stop()
            raise Late(str(pinger))
        # A longer computation may show the missing events.
        missing = []
        if waiting != [0] * (BACKLOG - 1):
            missing.append(f"unacknowledged: {waiting}")
        if taken < 32768:
            missing.append(f"{taken} bytes of {sent} acknowledged")
        if syns < 3:
            missing.append(f"{syns} SYNs to the absent peer")
        if len(pinger.times) < 30 or len(pinger.answered) < 0.98 * len(pinger.times):
            missing.append(str(pinger))
        if missing:
            child.stop()
            raise Late(", ".join(missing))
        child.wait_line("computed, 0 datagrams meanwhile")
        datagrams.settimeout(PATIENCE)
        assert datagrams.recv(2048) == b"are you there?"
        large.settimeout(PATIENCE)
        sender = threading.Thread(target=large.sendall, args=(data[sent:],))
        sender.start()
        assert receive(large, LARGE) == data, "the large echo differs"
        sender.join()
    for number, connection in enumerate(connections[1:]):
        expected = b"number %d\n" % number
        assert receive(connection, len(expected)) == expected
        connection.close()


@in_every_form(limit=120)
def idle_with_a_network(context, form):
    """No ticks while the program sleeps, after connections and with their timers; in long runs
    under 2 % of a processor."""
    child, tap = services(context, form)
    context.load("copy", tap.guest, 7, 100_000)
    assert falls_asleep(machine_pid(child)), "it is woken all the time"
    if context.long:
        context.bound(
            "processor time in 5 s", least_processor_time(machine_pid(child), 5, 0.1), 0.1
        )


@test()
def forks(context):
    """A fork never interrupts a network poll: the child's runtime is free."""
    tap = context.tap()
    child = context.soil("tests/programs/soil/forks.exe", "process", tap=tap)
    child.wait_line("ready")
    pinger = Pinger(tap, 0.002)
    status, output = outcome(child, context)
    pinger.end()
    assert status == 0 and "free in 300 of 300 children" in output, f"status {status}\n{output}"


def catches(pid, number):
    """Whether process `pid` has a handler for the signal; one for a single signal is gone once that
    arrives."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        (mask,) = [line.split()[1] for line in status if line.startswith("SigCgt:")]
    return int(mask, 16) >> (number - 1) & 1 == 1


@test()
def forked_processes_sleep(context):
    """An event of a process that doesn't handle it wakes neither the child that it forked nor its
    parent."""
    for blocked, other in (("parent", "child"), ("child", "parent")):
        with context.soil("tests/programs/soil/forked.exe", "process", blocked) as both:
            pids = {
                name: int(both.wait_line(f"{name} is ")[1].split()[-1]) for name in (blocked, other)
            }
            assert catches(pids[blocked], signal.SIGINT)
            os.kill(pids[blocked], signal.SIGINT)
            while catches(pids[blocked], signal.SIGINT):
                time.sleep(0.01)
            assert falls_asleep(pids[other]), f"the {other} is woken all the time"


@test()
def without_a_thread(context):
    """Where no thread can be made, the runtime warns, and the network waits for the program."""
    in_time(context, lambda seconds: threadless(context, seconds))


def threadless(context, seconds):
    tap = context.tap()
    network = {"SOIL_NET": f"tap={tap.name}", "SOIL_IP": tap.guest_cidr, "SOIL_GATEWAY": tap.host}
    refuse = ["strace", "-f", "-qq", "-o", os.devnull, "-e", "inject=clone,clone3:error=EAGAIN"]
    child = context.child(
        [*refuse, executable(BUSY, "process"), "plain", str(seconds), f"{tap.prefix}.77"],
        env=network,
    )
    child.wait_line("ready")
    control = socket.create_connection((tap.guest, 80), timeout=PATIENCE)
    control.sendall(b"go\n")
    child.wait_line("computing")
    # All of them wait in the TAP, which queues 500 frames.
    pinger = Pinger(tap, seconds / 60)
    time.sleep(seconds / 5)
    early = len(pinger.answered)
    child.drain(0)
    if "computed" in child.text:
        child.stop()
        raise Late(str(pinger))
    child.wait_line("computed")
    pinger.end()
    assert child.text.count("no thread can be made") == 1, child.text
    assert early == 0 and len(pinger.answered) >= 0.9 * len(pinger.times), (
        f"{early} early; {pinger}"
    )


# As in `programs.py`, linked to a module that starts the network: each tick interrupts other work.
NETWORKED = [
    Program("effects", "tests/programs/networked/effects.exe"),
    Program("exceptions", "tests/programs/networked/exceptions.exe"),
    Program("floats", "tests/programs/networked/floats.exe"),
    Program("gc-churn", "tests/programs/networked/gc_churn.exe", options=["--mem", "64M"]),
    Program("marshalling", "tests/programs/networked/marshalling.exe"),
    Program(
        "overflow", "tests/programs/networked/overflow.exe", environment={"OCAMLRUNPARAM": "l=2M"}
    ),
    Program(
        "overflow-of-memory",
        "tests/programs/networked/overflow.exe",
        forms=MACHINES,
        options=["--mem", "64M"],
    ),
]


def register():
    for program in NETWORKED:
        for form in program.forms:
            shows = f"While pings arrive: {program.shown()}"
            test(f"{program.label}-with-network-{form}", shows=shows)(
                lambda context, program=program, form=form: disturbed(context, program, form)
            )


def disturbed(context, program, form):
    """The program's output is the same while pings arrive."""
    tap = context.tap()
    pinger = Pinger(tap, 0.002)
    program.check(context, form, tap=tap)
    pinger.end()


register()
