"""Real peers over a TAP: curl, wrk, Linux TCP in both directions, dnsmasq."""

import hashlib
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

from harness.console import PATIENCE, resident_kib
from harness.context import FORMS, FORMS_AND_SOCKETS, SOCKETS, forms_of, outcome
from harness.runner import test

SERVICES = "tests/programs/soil/services.exe"
CLIENT = "tests/programs/soil/tcp_client.exe"


# The process form's memory in use is its resident memory. glibc keeps up to 128 KiB of freed
# memory, 1.4 % of it, depending on the collections of the program's read buffers; this setting
# makes glibc return it.
MALLOC = {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=4096:glibc.malloc.top_pad=4096"}


def services(context, form, **options):
    """Starts the services on a TAP; (child, tap) when they are ready."""
    tap = context.tap(form)
    child = context.soil(SERVICES, form, tap=tap, **options)
    child.wait_line("ready")
    tap.wait_up()
    return child, tap


def in_every_form(limit=60, forms=FORMS, long=False, name=None):
    """Registers a test `f(context, form)` for each form."""

    def register(function):
        label = name or function.__name__.replace("_", "-")
        for form in forms_of(*forms):

            def one(context, form=form):
                function(context, form)

            one.__module__, one.__doc__ = function.__module__, function.__doc__
            test(f"{label}-{form}", limit=limit, long=long)(one)
        return function

    return register


@in_every_form(forms=FORMS_AND_SOCKETS)
def tcp_echo(context, form):
    """Pseudo-random bytes return unchanged, on one connection and on four at once."""
    _, tap = services(context, form)
    context.load("copy", tap.guest, 7, 8_000_000)
    clients = [context.child(load_words("copy", tap.guest, 7, 2_000_000)) for _ in range(4)]
    for client in clients:
        assert client.finish(context.remaining()) == 0, client.text


def load_words(*words):
    from harness.context import LOAD

    return [LOAD, *map(str, words)]


@in_every_form(forms=FORMS_AND_SOCKETS)
def curl(context, form):
    """Three answers to curl over one connection."""
    _, tap = services(context, form)
    url = f"http://{tap.guest}/"
    bodies = context.run("curl", "-fsS", url, url, url).stdout
    assert bodies == "x" * 3072, f"{len(bodies)} bytes: {bodies[:200]!r}"


@in_every_form(forms=FORMS_AND_SOCKETS)
def wrk(context, form):
    """64 connections with keep-alive for two seconds: no errors, no timeouts."""
    _, tap = services(context, form)
    # Without the option, a response after more than two seconds would be an error.
    command = ["wrk", "-t1", "-c64", "-d2s", "--timeout", PATIENCE, f"http://{tap.guest}/"]
    requests = 0
    # A busy host may run the machine after these two seconds.
    while requests == 0:
        text = context.run(*command).stdout
        assert "Socket errors" not in text and "Non-2xx" not in text, text
        requests = int(re.search(r"(\d+) requests in", text)[1])


@in_every_form(limit=300)
def hundred_bulk_transfers(context, form):
    """100 transfers in each direction, none of which stalls."""
    bulk(context, form, 100, 0.06)


@in_every_form(limit=900, long=True, name="hundred-long-bulk-transfers")
def hundred_long_bulk_transfers(context, form):
    """A hundred bulk transfers in sequence, of a second each."""
    bulk(context, form, 100, 1)


def bulk(context, form, count, seconds):
    _, tap = services(context, form)
    for i in range(count):
        for mode, port in (("out", 19), ("in", 9)):
            done = context.load(mode, tap.guest, port, seconds, check=False)
            assert done.returncode == 0, f"transfer {i} {mode}: {done.stderr}"


@in_every_form(limit=90, forms=FORMS_AND_SOCKETS)
def thousand_connections(context, form):
    """1024 connections at once, all accepted and all answered; afterwards one more."""
    _, tap = services(context, form)
    line = context.load("hold", tap.guest, 7, 1024, 0.5).stdout
    assert "connections=1024" in line, line
    context.load("copy", tap.guest, 7, 1_000_000)


@in_every_form(forms=FORMS_AND_SOCKETS)
def resetting_peers(context, form):
    """Peers that reset in the middle leave no connection behind."""
    child, tap = services(context, form)
    for i in range(60):
        peer = socket.create_connection((tap.guest, (19, 7, 80)[i % 3]), timeout=PATIENCE)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.sendall(b"GET / HTTP/1.1\r\n")
        if i % 2:
            peer.settimeout(PATIENCE)
            if i % 3 != 2:
                peer.recv(10)
        peer.close()
    for _ in range(20):
        with socket.create_connection((tap.guest, 81), timeout=PATIENCE) as peer:
            peer.settimeout(PATIENCE)
            assert peer.recv(1) == b"", "port 81 closes at once"
    context.load("copy", tap.guest, 7, 500_000)
    figures = steady_counters(tap, 20)
    assert figures["descriptors"] < 20, f"{figures}\n{child.text}"
    assert "Fatal" not in child.text, child.text


def counters(tap):
    """The counters that the services report on port 79."""
    with socket.create_connection((tap.guest, 79), timeout=PATIENCE) as peer:
        peer.settimeout(PATIENCE)
        text = b""
        while piece := peer.recv(4096):
            text += piece
    return {name: int(value) for name, value in re.findall(r"(\w+)=(-?\d+)", text.decode())}


def steady_counters(tap, descriptors, seconds=PATIENCE):
    """The counters once fewer descriptors than this are open: a service must first notice that its
    peer has left."""
    until = time.monotonic() + seconds
    while (figures := counters(tap))["descriptors"] >= descriptors and time.monotonic() < until:
        time.sleep(0.2)
    return figures


@in_every_form(forms=FORMS_AND_SOCKETS)
def udp_echo(context, form):
    """Datagrams of every size that fits a frame return, also with the program's own client."""
    _, tap = services(context, form)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(PATIENCE)
        peer.connect((tap.guest, 7))
        for size in (0, 1, 64, 512, 1472):
            data = os.urandom(size)
            peer.send(data)
            assert peer.recv(65536) == data, f"{size} bytes"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((tap.host, 7007))
        other = context.tap(form)

        def answer():
            while True:
                try:
                    server.sendto(*server.recvfrom(65536))
                except OSError:
                    return

        threading.Thread(target=answer, daemon=True).start()
        child = context.soil(
            "tests/programs/soil/udp_client.exe", form, tap.host, "7007", tap=other
        )
        status, output = outcome(child, context)
        assert status == 0, output
        for size in (1, 0, 100, 1472, 512):
            assert f"{size} bytes: the same back" in output, output


class Server:
    """A TCP server of the host on one TAP's address; `handle(connection)` runs in a thread each."""

    def __init__(self, tap, handle):
        self.socket = socket.create_server((tap.host, 0), backlog=256)
        self.port = self.socket.getsockname()[1]
        self.handle = handle
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(connection,), daemon=True).start()

    def one(self, connection):
        with connection:
            connection.settimeout(PATIENCE)
            self.handle(connection)


@in_every_form(forms=FORMS_AND_SOCKETS)
def tcp_client(context, form):
    """Outgoing connections: many at once, a large answer, a large request, a refusal."""
    tap = context.tap(form)
    blob = os.urandom(3_000_000)

    def upper(connection):
        connection.sendall(connection.makefile("rb").readline().upper())

    def count(connection):
        total, digest = 0, hashlib.md5()
        while data := connection.recv(65536):
            total += len(data)
            digest.update(data)
        connection.sendall(f"{total} {digest.hexdigest()}\n".encode())

    exchange = Server(tap, upper)
    fetch = Server(tap, lambda connection: connection.sendall(blob))
    send = Server(tap, count)

    def client(*words):
        status, output = outcome(context.soil(CLIENT, form, *map(str, words), tap=tap), context)
        assert status == 0, output
        return output

    assert "50 right answers" in client("exchange", tap.host, exchange.port, 50)
    expected = f"3000000 bytes, digest {hashlib.md5(blob).hexdigest()}"
    assert expected in client("fetch", tap.host, fetch.port)
    block = bytes(i * 13 & 255 for i in range(50_000))
    digest = hashlib.md5(block * 40).hexdigest()
    assert f"answer: 2000000 {digest}" in client("send", tap.host, send.port, 2_000_000)
    refusal = client("refused", tap.host, 9)
    assert f"{tap.host}:9: connection refused" in refusal, refusal


def dnsmasq(context, tap, *options):
    """DHCP and DNS on the TAP, giving .50 to .59, and two names."""
    child = context.child(
        [
            "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root",
            f"--interface={tap.name}", "--bind-interfaces", "--except-interface=lo", "--pid-file=",
            f"--dhcp-leasefile={context.path('leases')}", "--log-facility=-", "--log-dhcp",
            f"--dhcp-range={tap.prefix}.50,{tap.prefix}.59,255.255.255.0,1h",
            "--host-record=one.test,192.0.2.1", "--host-record=many.test,192.0.2.2",
            "--host-record=many.test,192.0.2.3", "--local=/test/", *options,
        ]
    )  # fmt: skip
    child.wait_line("DHCP, IP range")
    return child


@in_every_form()
def dhcp_and_dns(context, form):
    """Address, gateway and name server from dnsmasq; names that exist, and one that doesn't."""
    tap = context.tap()
    server = dnsmasq(context, tap)
    child = context.soil("tests/programs/soil/interfaces.exe", form, tap=tap, dhcp=True)
    status, output = outcome(child, context)
    server.drain(0.1)
    assert status == 0, f"{output}\n{server.text}"
    for line in (
        f"address {tap.prefix}.5",
        f"gateway {tap.host}",
        f"name servers {tap.host}",
        "mtu 1500",
    ):
        assert line in output, f"{line!r} is missing from:\n{output}\n{server.text}"
    names = ["one.test", "many.test", "none.test", "198.51.100.7", "localhost"]
    child = context.soil("tests/programs/soil/lookup.exe", form, *names, tap=tap, dhcp=True)
    status, output = outcome(child, context)
    server.drain(0.1)
    assert status == 0, f"{output}\n{server.text}"
    for line in (
        "one.test: 192.0.2.1",
        "many.test: 192.0.2.2 192.0.2.3",
        "none.test: no such host",
        "198.51.100.7: 198.51.100.7",
    ):
        assert line in output, f"{line!r} is missing from:\n{output}\n{server.text}"


@in_every_form()
def dhcp_of_a_single_address(context, form):
    """A lease with the prefix /32, as of Google, Hetzner and OVH: the gateway, here also the name
    server, is outside of it; a short name is completed with the domain of option 15."""
    tap = context.tap()
    options = ("netmask,255.255.255.255", "domain-name,test")
    server = dnsmasq(context, tap, *(f"--dhcp-option=option:{option}" for option in options))
    child = context.soil("tests/programs/soil/lookup.exe", form, "one", tap=tap, dhcp=True)
    status, output = outcome(child, context)
    server.drain(0.1)
    assert status == 0, f"{output}\n{server.text}"
    assert output.splitlines() == ["one: 192.0.2.1"], f"{output}\n{server.text}"


@test()
def names_on_the_hosts_sockets(context):
    """Names from a server that the process queries on Linux's own sockets."""
    server = context.child(
        [
            "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
            "--user=root", "--listen-address=127.0.0.1", "--bind-interfaces", "--pid-file=",
            "--log-facility=-", "--host-record=one.test,192.0.2.1", "--local=/test/",
        ]
    )  # fmt: skip
    server.wait_line("started")
    names = ["one.test", "none.test", "localhost"]
    options = ["--dns", "127.0.0.1"]
    child = context.soil("tests/programs/soil/lookup.exe", SOCKETS, *names, options=options)
    status, output = outcome(child, context)
    assert status == 0, output
    for line in ("one.test: 192.0.2.1", "none.test: no such host"):
        assert line in output, f"{line!r} is missing from:\n{output}\n{server.text}"


@in_every_form()
def ping(context, form):
    """ICMP echo, often a user's first check."""
    _, tap = services(context, form)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as peer:
        peer.settimeout(PATIENCE)
        peer.connect((tap.guest, 0))
        for number in range(5):
            message = icmp_echo(number, os.urandom(1400))
            peer.send(message)
            answer = peer.recv(65536)[20:]
            assert answer[0] == 0 and answer[4:] == message[4:], answer[:16].hex()


def icmp_echo(number, payload):
    """An ICMP echo request (RFC 792) with its checksum (RFC 1071)."""
    body = struct.pack("!HH", os.getpid() & 0xFFFF, number) + payload
    total = sum(struct.unpack(f"!{len(body) // 2}H", body)) + 0x0800
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!BBH", 8, 0, ~total & 0xFFFF) + body


@in_every_form(forms=FORMS_AND_SOCKETS)
def echo_example(context, form):
    """examples/echo as it is shipped."""
    tap = context.tap(form)
    child = context.soil("examples/echo/main.exe", form, tap=tap)
    child.wait_line("echo listens on")
    context.load("copy", tap.guest, 7, 1_000_000)


@in_every_form(limit=600)
def sequential_connections(context, form):
    """Closed connections leave nothing: of some rounds of 500, one adds no memory.

    A leak grows in every round; a garbage-collected heap grows in occasional steps. The process
    form's memory in use is its resident memory in Linux, which long runs check.
    """
    visit = visitor(context, form, "keep-alive")
    memory = "in_use" if form != "process" or context.long else "heap"
    figures = [visit(500)]
    for _ in range(8):
        figures.append(visit(500))
        before, after = figures[-2:]
        if all(after[name] <= before[name] * 1.001 for name in (memory, "descriptors")):
            return
    raise AssertionError("memory grew in every round:\n" + "\n".join(map(str, figures)))


@in_every_form(limit=1800, long=True)
def hundred_thousand_connections(context, form):
    """Between the 10,000th and the 100,000th connection, closed by the server, memory in use
    changes by less than 1 %."""
    visit = visitor(context, form, "close")
    before, after = visit(10_000), visit(90_000)
    for name in ("in_use", "descriptors", "resident"):
        assert after[name] <= before[name] * 1.01, f"{name} grew: {before}\n{after}"


@in_every_form(limit=3600, long=True)
def a_million_connections(context, form):
    """One million connections from 127 addresses, opened, used and closed by the server: memory in
    use is the same, within 1 %, after the first tenth and at the end."""
    child, tap = services(context, form, env=MALLOC)
    pid = machine_pid(child)
    for last in range(100, 227):
        context.run("ip", "addr", "add", f"{tap.prefix}.{last}/24", "dev", tap.name)
    idle = counters(tap)["descriptors"]

    def visit(count):
        text = context.load("visit", tap.guest, 80, count, 32).stdout
        assert "failed=0" in text, text
        return {**steady_counters(tap, idle + 1), "resident": resident_kib(pid) << 10}

    before, after = visit(100_000), visit(900_000)
    for name in ("in_use", "descriptors", "resident"):
        assert after[name] <= before[name] * 1.01, f"{name} grew: {before}\n{after}"


def visitor(context, form, manner):
    """Returns a function that makes n sequential HTTP connections and returns the counters."""
    child, tap = services(context, form, env=MALLOC)
    pid = machine_pid(child)
    # The first connections take memory for the collector itself.
    idle = counters(tap)["descriptors"]
    request = f"GET / HTTP/1.1\r\nHost: x\r\nConnection: {manner}\r\n\r\n".encode()

    def one():
        with socket.create_connection((tap.guest, 80), timeout=PATIENCE) as peer:
            peer.sendall(request)
            got = 0
            while (manner == "close" or got < 1024) and (data := peer.recv(4096)):
                got += len(data)
            assert got > 1024, f"{got} bytes"

    def visit(count):
        for _ in range(count):
            one()
        return {**steady_counters(tap, idle + 1), "resident": resident_kib(pid) << 10}

    return visit


def machine_pid(child):
    """The process that is the machine, or the process form: `soil run` or its child."""
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(child.pid)], capture_output=True, text=True
    ).stdout.split()
    return int(children[0]) if children else child.pid


@test("a-connection-that-waits-at-the-end", limit=180)
def a_connection_that_waits(context):
    """A connection that the program hasn't accepted when its machine ends gets a reset, in both
    forms of Soil's own stack."""
    for form in forms_of("process", "microvm"):
        tap = context.tap()
        child = context.soil("examples/echo/main.exe", form, tap=tap)
        child.wait_line("listen")
        # The program waits some seconds for this one, and accepts no others.
        with socket.create_connection((tap.guest, 7), PATIENCE) as held:
            held.sendall(b"a")
            assert held.recv(1) == b"a"
            child.signal(signal.SIGTERM)
            echoed = b"b"
            while echoed:
                with socket.create_connection((tap.guest, 7), PATIENCE) as waiting:
                    waiting.sendall(b"b")
                    waiting.settimeout(PATIENCE)
                    try:
                        echoed = waiting.recv(1)
                    except ConnectionResetError:
                        break
            else:
                raise AssertionError(f"{form}: an end of input instead of a reset")
        assert child.finish(context.remaining()) == 143, f"{form}: {child.text}"
