"""examples/cluster: three images behind HAProxy, and their state in PostgreSQL."""

import collections
import os
import re
import shutil
import signal
import time
import urllib.request

from cases.services import database
from harness.console import PATIENCE
from harness.context import ROOT, Skip
from harness.runner import test

FOLDER = os.path.join(ROOT, "examples", "cluster")
PROGRAM = "examples/cluster/main.exe"
VISITORS = 8080


def visit():
    """The number of a visit and the copy that counted it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{VISITORS}/", timeout=PATIENCE) as answer:
        found = re.fullmatch(r"visit (\d+), by (\w+)\n", answer.read().decode())
        assert found, found
        return int(found[1]), found[2]


def visits(count):
    found = [visit() for _ in range(count)]
    return [number for number, _ in found], collections.Counter(name for _, name in found)


@test("cluster", limit=240)
def copies_behind_a_load_balancer(context):
    """Three copies share one count; one that is asked to stop answers what it has begun and gets no
    more visitors, and no visitor notices; started again, it gets some again."""
    if not shutil.which("haproxy"):
        raise Skip("haproxy isn't installed; install it: apt-get install haproxy")
    taps = {name: context.tap() for name in "abc"}
    database(context, "0.0.0.0")()
    copies = {}

    def start(name):
        tap = taps[name]
        copies[name] = context.soil(PROGRAM, "microvm", name, tap.host, tap=tap)

    # All at once, and each finds or makes the table.
    for name in taps:
        start(name)
    for copy in copies.values():
        copy.wait_line("counts visits")
    addresses = {name.upper(): f"{tap.guest}:8080" for name, tap in taps.items()}
    environment = {**addresses, "LISTEN": f"127.0.0.1:{VISITORS}"}
    command = ["haproxy", "-db", "-f", os.path.join(FOLDER, "haproxy.cfg")]
    context.child(command, env=environment)
    until = time.monotonic() + PATIENCE
    while True:
        try:
            first, _ = visit()
            break
        except OSError:
            assert time.monotonic() < until, "the load balancer doesn't answer"
            time.sleep(0.05)
    numbers, by = visits(60)
    assert numbers == list(range(first + 1, first + 61)), numbers
    assert set(by) == set("abc") and max(by.values()) - min(by.values()) <= 1, by
    copies["b"].signal(signal.SIGTERM)
    numbers, by = visits(60)
    status = copies["b"].finish(context.remaining())
    assert status == 143, copies["b"].text
    assert numbers == list(range(first + 61, first + 121)), numbers
    numbers, by = visits(10)
    assert set(by) == set("ac"), by
    start("b")
    until = time.monotonic() + PATIENCE
    while visit()[1] != "b":
        assert time.monotonic() < until, "the copy gets no visitors"
        time.sleep(0.05)
