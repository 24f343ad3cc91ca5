"""Clocks and answers of a machine beside a busy host.

`make prove` runs this for longer, by PROVE_SECONDS.
"""

import os
import subprocess
import time

from harness import kvm
from harness.context import MACHINES
from harness.machine import processors
from harness.runner import test

from cases.clocks import PROGRAM, Peer

PROVES = "PROVE_SECONDS" in os.environ
SECONDS = int(os.environ.get("PROVE_SECONDS", "3"))
# Of time between two answers, in ms.
GAP = 100


def readings(context, form, seconds):
    """The guest's clock in each answer, and the longest time of the host between two answers, both
    in ns, while a process computes on each of the host's processors."""
    tap = context.tap()
    child = context.soil(PROGRAM, form, 0, tap=tap)
    child.wait_line("ready")
    peer = Peer(tap.guest)
    peer.exchange()
    spin = ["sh", "-c", "while :; do :; done"]
    busy = [subprocess.Popen(spin) for _ in range(processors())]
    try:
        clocks, longest, last = [], 0, time.monotonic_ns()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            _, clock, now = peer.exchange()
            clocks.append(clock)
            longest, last = max(longest, now - last), now
    finally:
        for each in busy:
            each.kill()
            each.wait()
    return clocks, longest


for machine in MACHINES:

    @test(name=f"clocks-and-answers-{machine}", limit=60 + 2 * SECONDS)
    def clocks_and_answers(context, form=machine):
        """Beside a busy host the monotonic clock never steps back, and no answer is lost; in long
        runs, and by `make prove`, none is late by more than 100 ms."""
        context.long = context.long or PROVES
        clocks, longest = readings(context, form, SECONDS)
        backwards = [pair for pair in zip(clocks, clocks[1:]) if pair[1] < pair[0]]
        print(f"{len(clocks)} answers in {SECONDS} s")
        assert not backwards, f"the clock steps back: {backwards[:5]}"
        context.bound("longest gap, ms", round(longest / 1e6, 1), GAP * kvm.SLOWNESS)
