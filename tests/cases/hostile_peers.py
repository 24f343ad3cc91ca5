"""Scanners, floods and malformed packets; honest clients are served during and after them.

All traffic is on a TAP in the tests' namespace, and bounded in count and time.
"""

import os
import re
import shutil
import socket
import threading
import time

from cases.network import counters, in_every_form, load_words, services, steady_counters
from harness.console import PATIENCE
from harness.context import ROOT, Skip
from harness.tap import ip

MALFORMED = os.path.join(ROOT, "tests", "peers", "malformed.py")
IMAGE_AND_PROCESS = ("process", "microvm")


def tool(name, package):
    """The path of a program; skips the test without it."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise Skip(f"{name} is not installed; run: apt-get install {package}")
    return path


def ask(tap, timeout=PATIENCE):
    """One request on a new connection; whether the whole answer arrived."""
    return answer(tap, timeout) == "served"


def answer(tap, timeout=PATIENCE):
    """`served`, or the error."""
    try:
        with socket.create_connection((tap.guest, 80), timeout=timeout) as peer:
            peer.settimeout(timeout)
            peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            got = b""
            while piece := peer.recv(4096):
                got += piece
            right = got.startswith(b"HTTP/1.1 200") and len(got) > 1024
            return "served" if right else f"wrong answer: {got[:100]!r}"
    except OSError as problem:
        return str(problem)


def still_serves(context, child, tap):
    """All services work, and no earlier connection is left."""
    found = answer(tap)
    child.drain(0.2)
    assert found == "served", f"{found}\n{child.text}"
    context.load("copy", tap.guest, 7, 300_000)
    # Where ten thousand connections end at once, Linux repeats segments dropped by a full queue for
    # some 100 seconds.
    figures = steady_counters(tap, 20, 4 * PATIENCE)
    assert figures["descriptors"] < 20, figures
    # An exception of OCaml, a panic of Rust in the image, and one in the process.
    for word in ("Fatal", "panic", "internal error"):
        assert word not in child.text, child.text


def mac_of(context, tap):
    """The guest's Ethernet address, from the host's table of neighbours."""
    assert ask(tap)
    text = context.run("ip", "neigh", "show", tap.guest, "dev", tap.name).stdout
    return re.search(r"lladdr (\S+)", text)[1]


@in_every_form(limit=120, forms=IMAGE_AND_PROCESS)
def nmap(context, form):
    """-sS finds exactly the open ports, -sU and -O do no harm, and sequence numbers are
    unpredictable."""
    nmap = tool("nmap", "nmap")
    child, tap = services(context, form)
    # nmap adapts its timeout to the first answers, and abandons a port after two late answers, such
    # as those of a machine that waits for a processor: allow three seconds for each.
    patient = ["--initial-rtt-timeout", "3s", "--min-rtt-timeout", "3s", "--max-rtt-timeout", "10s"]
    scan = [nmap, "-n", "-Pn", "--max-retries", "6", "--host-timeout", "300s"]
    text = context.run(*scan, *patient, "-sS", "-p", "1-300", tap.guest).stdout
    found = re.findall(r"^(\d+)/tcp\s+open\s", text, re.M)
    assert found == ["7", "9", "19", "79", "80", "81"], text
    assert "closed" in text, text
    text = context.run(*scan, *patient, "-sU", "-p", "7,9,53", tap.guest).stdout
    assert re.search(r"^7/udp\s+open", text, re.M), text
    text = context.run(*scan, "-O", "-v", "-p", "80,90", tap.guest).stdout
    guess = re.search(r"TCP Sequence Prediction: Difficulty=(\d+)", text)
    assert guess is None or int(guess[1]) >= 200, text
    still_serves(context, child, tap)


def flood(context, tap, seconds, *words):
    """hping3 for some seconds, with at most 5 000 packets a second from changing addresses."""
    command = [
        "timeout",
        seconds,
        tool("hping3", "hping3"),
        "-q",
        "-n",
        "-I",
        tap.name,
        "-i",
        "u200",
    ]
    return context.child(
        [*map(str, command), "-c", str(5000 * seconds), *map(str, words), tap.guest]
    )


@in_every_form(limit=120, forms=IMAGE_AND_PROCESS)
def syn_flood(context, form):
    """SYNs from changing addresses, 5 000 a second: a running transfer continues, and so do honest
    requests, in long runs 99 % of them."""
    child, tap = services(context, form)
    copy = context.child(load_words("copy", tap.guest, 7, 2_000_000))
    # For ten seconds, and until enough requests were served: when the TAP's queue is full, it drops
    # their SYNs with the flood's.
    attack = flood(context, tap, 600, "-S", "-p", 80, "--rand-source")
    until = time.monotonic() + 10
    results = []

    def client():
        while time.monotonic() < until or (
            sum(results) < 60 and context.remaining() > 2 * PATIENCE
        ):
            results.append(ask(tap))

    clients = [threading.Thread(target=client) for _ in range(2)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    flooded = attack.process.poll() is None
    attack.stop()
    assert flooded, f"the flood ended after {len(results)} requests: {attack.text}"
    assert copy.finish(context.remaining()) == 0, copy.text
    served = sum(results)
    assert served >= 60, f"{served} of {len(results)}"
    context.bound("share of requests that failed", 1 - served / len(results), 0.01)
    still_serves(context, child, tap)


@in_every_form(limit=180, forms=IMAGE_AND_PROCESS)
def other_floods(context, form):
    """ACK, FIN, RST, SYN-ACK, no flags and all of them, fragments, pings and datagrams, 5 000 a
    second each."""
    child, tap = services(context, form)
    kinds = [
        ["-A", "-p", 80], ["-F", "-p", 80], ["-R", "-p", 80], ["-SA", "-p", 80], ["-p", 80], ["-SARFUP", "-p", 80],
        ["-S", "-p", 80, "-f", "-d", 100], ["-A", "-p", 80, "-d", 1400, "-m", 600], ["--udp", "-p", 7, "-d", 500],
        ["--udp", "-p", 99, "-d", 10], ["--icmp", "-d", 1000], ["--icmp", "-f", "-d", 1000], ["-S", "-p", "++1"],
    ]  # fmt: skip
    for words in kinds:
        attack = flood(context, tap, 1, "--rand-source", *words)
        results = [ask(tap) for _ in range(4)]
        attack.finish(context.remaining())
        assert results.count(True) >= 3, f"{words}: {results}\n{child.text}"
    still_serves(context, child, tap)


def malformed(context, form, seconds):
    child, tap = services(context, form)
    python = tool("/usr/bin/python3", "python3-scapy")
    if context.run(python, "-c", "import scapy", check=False).returncode != 0:
        raise Skip("Scapy is not installed; run: apt-get install python3-scapy")
    mac = mac_of(context, tap)
    # Claims to the guest's address would corrupt the host's table, for which the guest is not
    # responsible.
    ip("neigh", "replace", tap.guest, "lladdr", mac, "nud", "permanent", "dev", tap.name)
    copy = context.child(load_words("copy", tap.guest, 7, 200_000))
    seed = os.environ.get("SOIL_FUZZ_SEED", "1")
    command = [python, MALFORMED, tap.name, tap.host, tap.guest, mac, str(seconds), seed]
    text = context.run(*command).stdout
    assert int(re.search(r"sent=(\d+)", text)[1]) >= 100, text
    assert copy.finish(context.remaining()) == 0, copy.text
    # The guest may have accepted a last claim to the host's address, which it would verify after 8
    # s (RFC 4861, 7.3); the first solicitation of the following traffic corrects it.
    ip("neigh", "del", tap.guest, "dev", tap.name)
    still_serves(context, child, tap)


@in_every_form(limit=120, forms=IMAGE_AND_PROCESS)
def malformed_packets(context, form):
    """Thousands of malformed packets of every layer."""
    malformed(context, form, 10)


@in_every_form(limit=900, long=True)
def malformed_packets_for_long(context, form):
    """Many more malformed packets, from scapy."""
    malformed(context, form, 200)


@in_every_form(limit=180, forms=IMAGE_AND_PROCESS)
def ten_thousand_connections(context, form):
    """10 000 idle connections at once; new ones are served meanwhile, and all memory is
    returned."""
    child, tap = services(context, form, options=("--mem", "512M"))
    before = counters(tap)
    hold = context.child(load_words("hold", tap.guest, 7, 10_000, 3600))
    hold.wait_line("connections=10000")
    figures = counters(tap)
    assert figures["connections"] >= 10_000, figures
    assert ask(tap)
    hold.stop()
    print(
        f"{(figures['in_use'] - before['in_use']) / 10_000:.0f} bytes for a connection and its task"
    )
    still_serves(context, child, tap)
