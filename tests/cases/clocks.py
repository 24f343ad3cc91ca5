"""A machine's clock compared with the host's.

The guest answers datagrams with its monotonic clock. It read the clock between the host's sending
and receiving, so two such exchanges bound the host's elapsed time from below and above, however
busy the host is: the guest's elapsed time must lie within these bounds, or exceed them by at most
one part in a thousand.
"""

import re
import socket
import time

from harness.runner import test
from harness.console import PATIENCE
from harness.context import ARCH, MACHINES, Skip

PROGRAM = "tests/programs/soil/clock_server.exe"
ONE_PART_IN = 1000
EXCHANGES = 20


class Peer:
    """The host's socket."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect((address, 7))
        self.asked = 0

    def exchange(self):
        """The host's clock before, the guest's, and the host's after, in ns."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            self.asked += 1
            word = str(self.asked)
            before = time.monotonic_ns()
            self.socket.send(word.encode())
            self.socket.settimeout(1)
            try:
                while True:
                    answer = self.socket.recv(100).decode().split()
                    after = time.monotonic_ns()
                    if answer[1] == word:
                        return before, int(answer[0]), after
            except (TimeoutError, ConnectionRefusedError):
                pass
        raise AssertionError("the guest doesn't answer")

    def reading(self):
        """The tightest of several exchanges."""
        return min((self.exchange() for _ in range(EXCHANGES)), key=lambda e: e[2] - e[0])


def compare(first, second):
    """Fails unless the guest's clock advanced as far as the host's between two readings."""
    guest = second[1] - first[1]
    least, most = second[0] - first[2], second[2] - first[0]
    report = f"guest {guest / 1e9:.6f} s, host {least / 1e9:.6f} to {most / 1e9:.6f} s"
    assert guest >= least - least // ONE_PART_IN, f"slow: {report}"
    assert guest <= most + most // ONE_PART_IN, f"fast: {report}"
    return report


def keeps_time(context, form, spans, turns=0, words=()):
    """Boots, waits for the guest's start, and compares over each of `spans` seconds, while the
    guest idles. `words` are QEMU's."""
    tap = context.tap()
    options = [each for word in words for each in ("--qemu-arg", word)]
    child = context.soil(PROGRAM, form, turns, tap=tap, options=options)
    child.wait_line("ready")
    began = int(re.search(r"ready (\d+)", child.text)[1])
    peer = Peer(tap.guest)
    first = peer.reading()
    for span in spans:
        time.sleep(span)
        print(form, compare(first, peer.reading()))
    assert "taking it for 1 GHz" not in child.text, child.text
    return began


for machine in MACHINES:

    @test(name=f"keeps-time-{machine}", limit=120)
    def keeps_time_from_the_start(context, form=machine):
        """The clocks advance as the host's do, from the start on."""
        keeps_time(context, form, (0.5, 2, 20))

    @test(name=f"keeps-time-for-minutes-{machine}", limit=400, long=True)
    def keeps_time_for_minutes(context, form=machine):
        """The clocks advance as the host's do, for minutes."""
        keeps_time(context, form, (60, 60, 130))


@test(limit=120)
def keeps_time_without_a_signature(context):
    """A microvm that hides its hypervisor, and has neither PIT nor real-time clock, as QEMU makes it
    for KVM: the clock's rate is right, and one line says that wall time begins in 1970."""
    if ARCH:
        raise Skip("arm64 has its counter's rate")
    bare = ("-cpu", "max,-hypervisor", "-machine", "pit=off,pic=off,rtc=off")
    keeps_time(context, "microvm", (0.5, 2), words=bare)


@test(name="first-asked-after-a-minute", limit=400, long=True)
def first_asked_after_a_minute(context):
    """The APIC's timer, with which the first clock reading compares, stops after 68.7 s."""
    turns = 1 << 28
    while True:
        began = keeps_time(context, "microvm", (), turns)
        if began > 70 * 10**9:
            break
        turns = turns * 80 * 10**9 // began
    keeps_time(context, "microvm", (1, 5), turns)
