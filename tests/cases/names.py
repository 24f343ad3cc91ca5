"""Names, the time of day and network diagnostics, against the test's own servers."""

import contextlib
import itertools
import os
import re
import socket
import struct
import threading
import time

from cases.network import Server, in_every_form, services
from harness.console import PATIENCE
from harness.context import FORMS, FORMS_AND_SOCKETS, clean, outcome
from harness.tap import ip

NAMES = "tests/programs/soil/names.exe"
A, CNAME, SOA, PTR, MX, TXT, AAAA, SRV = 1, 5, 6, 12, 15, 16, 28, 33
IP_RECVTTL = 12  # Python has no constant for it.


def wire(name):
    """A name on the wire (RFC 1035, 3.1)."""
    labels = name.encode().split(b".")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def read_name(message, at):
    labels = []
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(labels), at + 1


class NameServer:
    """DNS on the TAP's own address over UDP and TCP; `zone` maps (name, type) to a list of data.
    Answers longer than 512 bytes exceed a datagram."""

    def __init__(self, tap, zone, port=53):
        self.zone, self.queries = zone, []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((tap.host, port))
        self.tcp = socket.create_server((tap.host, self.udp.getsockname()[1]))
        for serve in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def answer(self, query, tcp):
        name, at = read_name(query, 12)
        kind = struct.unpack("!H", query[at : at + 2])[0]
        self.queries.append((name, kind, tcp))
        records = b""
        data = self.zone.get((name.lower(), kind), [])
        for item in data:
            records += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(item)) + item
        exists = any(known == name.lower() for known, _ in self.zone)
        flags = 0x8180 if exists else 0x8183
        head = query[:2] + struct.pack("!HHHHH", flags, 1, len(data), 0, 0) + query[12 : at + 4]
        if not tcp and len(head + records) > 512:
            return (
                query[:2] + struct.pack("!HHHHH", flags | 0x0200, 1, 0, 0, 0) + query[12 : at + 4]
            )
        return head + records

    def serve_udp(self):
        while True:
            query, peer = self.udp.recvfrom(4096)
            if answer := self.answer(query, False):
                self.udp.sendto(answer, peer)

    def serve_tcp(self):
        while True:
            connection, _ = self.tcp.accept()
            # A query is repeated after its timeout of five seconds.
            with contextlib.suppress(OSError, struct.error), connection:
                connection.settimeout(PATIENCE)
                stream = connection.makefile("rb")
                query = stream.read(struct.unpack("!H", stream.read(2))[0])
                answer = self.answer(query, True)
                connection.sendall(struct.pack("!H", len(answer)) + answer)


def service(priority, port, target):
    return struct.pack("!HHH", priority, 0, port) + wire(target)


def strings(*texts):
    return b"".join(bytes([len(text)]) + text for text in texts)


def run(context, form, tap, *commands, options=()):
    """The program's output for each command."""
    child = context.soil(NAMES, form, *commands, tap=tap, options=["--dns", tap.host, *options])
    status, output = outcome(child, context)
    assert status == 0, output
    return output


class OtherAddresses(NameServer):
    """A name server that returns another address for this name in each answer: 192.0.2.1, then 2,
    and so on."""

    def __init__(self, tap, zone, name):
        self.name, self.numbers = name, itertools.count(1)
        super().__init__(tap, zone)

    def answer(self, query, tcp):
        number = next(self.numbers)
        self.zone[(self.name, A)] = [socket.inet_aton(f"192.0.2.{number}")]
        return super().answer(query, tcp)


@in_every_form()
def names_of_all_kinds(context, form):
    """SRV, TXT over TCP, PTR, the search list (RFC 2782, 1035, 7766) and a cache (RFC 1035,
    7.4)."""
    tap = context.tap()
    reverse = ".".join(reversed(tap.host.split("."))) + ".in-addr.arpa"
    zone = {
        ("_web._tcp.test", SRV): [service(20, 81, "second.test"), service(10, 80, "first.test")],
        ("short.test", TXT): [strings(b"v=1 ", b"yes")],
        ("long.test", TXT): [strings(*[b"x" * 250] * 12)],
        (reverse, PTR): [wire("host.test")],
    }
    server = OtherAddresses(tap, zone, "host.lab.test")
    output = run(
        context, form, tap,
        "services", "_web._tcp.test", "texts", "short.test", "texts", "long.test", "reverse", tap.host,
        "lookup", "host", "lookup", "host", "lookup", "nobody.test", "services", "short.test",
        options=["--env", "SOIL_DNS_SEARCH=none.test,lab.test"],
    )  # fmt: skip
    for line in (
        "services _web._tcp.test: first.test:80 second.test:81",
        "texts short.test: v=1 yes",
        "texts long.test: 3000 bytes",
        f"reverse {tap.host}: host.test",
        "lookup nobody.test: no such host",
        "services short.test: no such host",
    ):
        assert line in output, f"{line!r} is missing from:\n{output}\n{server.queries}"
    # Repeated questions, after a late answer, don't count.
    found = re.findall(r"lookup host: (192\.0\.2\.\d+)\s", output)
    assert len(found) == 2 and found[0] == found[1], f"the answer isn't kept: {output}"
    asked = [(name, tcp) for name, kind, tcp in server.queries]
    assert ("long.test", True) in asked, asked


class SilentAbout(NameServer):
    """A name server that doesn't answer about names that begin with `silent`."""

    def answer(self, query, tcp):
        return None if read_name(query, 12)[0].startswith("silent") else super().answer(query, tcp)


@in_every_form(forms=FORMS_AND_SOCKETS)
def a_name_server_at_another_port(context, form):
    """SOIL_DNS with a port; the error of a timeout has the name and the server."""
    tap = context.tap(form)
    server = SilentAbout(tap, {("here.test", A): [socket.inet_aton("192.0.2.1")]}, port=0)
    address = f"{tap.host}:{server.udp.getsockname()[1]}"
    commands = ["lookup", "here.test", "timeout", "silent.test"]
    child = context.soil(NAMES, form, *commands, tap=tap, options=["--dns", address])
    status, output = outcome(child, context)
    assert status == 0, output
    assert output.splitlines() == [
        "lookup here.test: 192.0.2.1",
        f"timeout silent.test: dns lookup silent.test: no answer in 0.5 s from {address}",
    ], output


@in_every_form()
def the_fastest_address_wins(context, form):
    """Happy Eyeballs (RFC 8305, 5): an address without a host costs 250 ms, one that refuses costs
    none."""
    tap = context.tap()
    peer = Server(tap, lambda connection: connection.sendall(b"welcome"))
    ip("addr", "add", f"{tap.prefix}.78/24", "dev", tap.name)
    refusing, host = (socket.inet_aton(text) for text in (f"{tap.prefix}.78", tap.host))
    zone = {
        ("closed.test", A): [refusing, host],
        ("dead.test", A): [socket.inet_aton(f"{tap.prefix}.77")],
    }
    # Several times: other load on the host delays some of them. Each has its own silent address:
    # after three seconds Linux knows one to be unreachable, which takes no time.
    ports = []
    for number in range(5):
        name = f"slow{number}.test"
        zone[(name, A)] = [socket.inet_aton(f"{tap.prefix}.{80 + number}"), host]
        ports += [f"{name}:{peer.port}", f"closed.test:{peer.port}"]
    NameServer(tap, zone)
    ports += ["closed.test:9", "dead.test:9"]
    output = run(context, form, tap, *(word for target in ports for word in ("connect", target)))
    lines = [line for line in output.splitlines() if line.startswith("connect ")]
    seconds = []
    for line in lines[:10]:
        # Late or refused attempts leave no connection.
        found = re.search(
            rf": {re.escape(tap.host)}:{peer.port} after ([0-9.]+) s, 1 connections, says welcome",
            line,
        )
        assert found, output
        seconds.append(float(found[1]))
    failed = lines[10:]
    assert 0.2 < min(seconds[::2]), output
    context.bound("seconds past a silent address", min(seconds[::2]), 2.0)
    context.bound("seconds past an address that refuses", min(seconds[1::2]), 0.2)
    assert failed == [
        "connect closed.test:9: connection refused",
        "connect dead.test:9: unreachable",
    ], output


class TimeServer:
    """An SNTP server whose clock is `offset` seconds ahead (RFC 4330)."""

    def __init__(self, tap, offset):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((tap.host, 123))
        self.offset = offset
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            query, peer = self.socket.recvfrom(512)
            stamp = struct.pack("!Q", int((time.time() + self.offset + 2_208_988_800) * 2**32))
            answer = (
                bytes([4 << 3 | 4, 2, 6, 0xEC]) + bytes(12) + stamp + query[40:48] + stamp + stamp
            )
            self.socket.sendto(answer, peer)


@in_every_form()
def the_clock_from_a_server(context, form):
    """SOIL_NTP sets the time of day: by name, in both forms, without changing the host's clock."""
    tap = context.tap()
    TimeServer(tap, 86_400)
    NameServer(tap, {("time.test", A): [socket.inet_aton(tap.host)]})
    before = time.time()
    # Soil asks again after 16 s if an answer took too long.
    output = run(context, form, tap, "clock", "100", options=["--env", "SOIL_NTP=time.test"])
    set_to = float(output.split("set to ")[1].split()[0])
    assert before + 86_390 < set_to < time.time() + 86_410, output
    assert abs(time.time() - before) < 600


def blocks(data):
    """Type and body of each block of a pcapng file."""
    at = 0
    while at + 12 <= len(data):
        kind, length = struct.unpack("<II", data[at : at + 8])
        assert length % 4 == 0 and length >= 12, f"block of {length} bytes at {at}"
        body = data[at + 8 : at + length - 4]
        if len(body) < length - 12:
            return  # The machine was stopped while writing it.
        yield kind, body
        at += length


@in_every_form()
def recording(context, form):
    """--pcap FILE: a file with the interface's frames, both ways, with plausible times."""
    file = context.path("recording.pcapng")
    before = time.time()
    child, tap = services(context, form, options=["--pcap", file])
    url = f"http://{tap.guest}/"
    assert context.run("curl", "-fsS", url).stdout == "x" * 1024
    child.stop()
    with open(file, "rb") as stream:
        found = list(blocks(stream.read()))
    assert found[0][0] == 0x0A0D0D0A and found[1][0] == 1 and b"eth0" in found[1][1], found[:2]
    frames = [body for kind, body in found if kind == 6]
    directions = {struct.unpack("<I", body[-8:-4])[0] for body in frames}
    assert directions == {1, 2}, directions
    text = b"".join(frames)
    assert b"GET / HTTP/1.1" in text and b"x" * 500 in text
    for body in frames:
        high, low = struct.unpack("<II", body[4:12])
        seconds = (high << 32 | low) / 1e9
        assert before - 120 < seconds < time.time() + 120, seconds


@in_every_form(forms=FORMS)
def a_report_on_request(context, form):
    """SIGUSR1 (the process) and Ctrl-T (the machine) print the sockets and the counters, without
    stopping anything."""
    writer, reader = os.openpty()
    child, tap = services(context, form, stdin=reader)
    with socket.create_connection((tap.guest, 7), timeout=PATIENCE) as peer:
        peer.settimeout(PATIENCE)
        peer.sendall(b"x")
        assert peer.recv(1) == b"x"
        if form == "process":
            with open(f"/proc/{child.pid}/task/{child.pid}/children", encoding="ascii") as stream:
                program = int(stream.read().split()[0])
            os.kill(program, 10)
        else:
            os.write(writer, b"\x14")
        child.wait_line("tcp.connections=")
        text = clean(child.text)
        lines = text.splitlines()
        ends = f"{tap.guest}:7 {tap.host}:{peer.getsockname()[1]} ESTABLISHED"
        (at,) = [number for number, line in enumerate(lines) if ends in line]
        # A connection's line as in `ss -ti`, with the negotiated options and one byte each way.
        words = lines[at + 1].split()
        assert words[:3] == ["soil:", "ts", "sack"] and "bytes_received:1" in words, text
        # The acknowledgement may still be in flight.
        assert "bytes_acked:1" in words or "unacked:1" in words, text
        names = {word.partition(":")[0] for word in words}
        assert {
            "wscale",
            "rto",
            "rtt",
            "minrtt",
            "mss",
            "advmss",
            "pmtu",
            "cwnd",
            "snd_wnd",
            "rcv_wnd",
        } <= names, text
        assert "link.frames-in=" in text and "LISTEN" in text, text
        peer.sendall(b"y")
        assert peer.recv(1) == b"y"


class Neighbour:
    """Another machine that speaks multicast DNS (RFC 6762), on the TAP."""

    def __init__(self, tap):
        self.tap = tap
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("", 5353))
        membership = socket.inet_aton("224.0.0.251") + socket.inet_aton(tap.host)
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        self.socket.setsockopt(
            socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(tap.host)
        )
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        self.socket.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        # Our own questions must not loop back.
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)

    def say(self, message):
        self.socket.sendto(message, ("224.0.0.251", 5353))

    def hear(self, wanted, seconds=PATIENCE):
        """The machine's first message for which `wanted` returns a value, and that value."""
        end = time.monotonic() + seconds
        heard = []
        while time.monotonic() < end:
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                message, more, _, peer = self.socket.recvmsg(9000, 64)
            except TimeoutError:
                break
            if peer[0] != self.tap.guest:
                continue
            ttl = [struct.unpack("=i", data)[0] for _, kind, data in more if kind == socket.IP_TTL]
            assert ttl in ([255], []), ttl
            found = wanted(message)
            if found:
                return found
            heard.append(message)
        raise AssertionError(f"not heard within {seconds} s; but {heard}")

    def ask(self, message, wanted):
        """Asks until such an answer arrives: one sent just before isn't repeated (6)."""
        end = time.monotonic() + PATIENCE
        while True:
            self.say(message)
            try:
                return self.hear(wanted, 3)
            except AssertionError:
                if time.monotonic() > end:
                    raise


def question(name, kind, top=0):
    return struct.pack("!6H", 0, 0, 1, 0, 0, 0) + wire(name) + struct.pack("!HH", kind, top | 1)


def claims(name, address, ttl=120):
    head = struct.pack("!6H", 0, 0x8400, 0, 1, 0, 0)
    return head + wire(name) + struct.pack("!HHIH", A, 0x8001, ttl, 4) + socket.inet_aton(address)


def record(message, name, address, flush=True):
    """The TTL of an address record if the message has it (`goodbye`: 0)."""
    kind = struct.pack("!HH", A, 0x8001 if flush else 1)
    at = message.find(kind)
    while at >= 0:
        ttl, length = struct.unpack("!IH", message[at + 4 : at + 10])
        if length == 4 and message[at + 10 : at + 14] == socket.inet_aton(address):
            return wire(name) in message and (ttl or "goodbye")
        at = message.find(kind, at + 1)
    return None


@in_every_form()
def the_name_of_the_machine(context, form):
    """SOIL_MDNS (RFC 6762): the name is probed for, changed on a conflict, announced, resolved by
    machines that use multicast DNS and by ordinary resolvers, and withdrawn at the end."""
    tap = context.tap()
    neighbour = Neighbour(tap)
    # Until a datagram to port 9 ends it.
    child = context.soil(NAMES, form, "announce", "9", tap=tap, options=["--env", "SOIL_MDNS=lab"])

    def taken(message):
        # 8.1: answering each probe means that the name is taken. An answer after 750 ms finds the
        # name announced, and causes new probes.
        if wire("lab.local") in message and message[2:4] == b"\0\0":
            neighbour.say(claims("lab.local", tap.host))
        # 8.3: the announcement of the next name.
        return message[2] == 0x84 and record(message, "lab-2.local", tap.guest)

    assert neighbour.hear(taken) == 120
    # 6: a multicast answer; records just sent aren't repeated within a second.
    time.sleep(2.5)
    assert (
        neighbour.ask(
            question("lab-2.local", A), lambda message: record(message, "lab-2.local", tap.guest)
        )
        == 120
    )
    reverse = ".".join(reversed(tap.guest.split("."))) + ".in-addr.arpa"
    neighbour.ask(
        question(reverse, PTR, 0x8000),
        lambda message: wire(reverse) in message and wire("lab-2.local") in message,
    )
    # 6.7: an ordinary resolver asks from another port.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
        resolver.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(tap.host))
        resolver.settimeout(PATIENCE)
        query = b"\x12\x34" + question("lab-2.local", A)[2:]
        resolver.sendto(query, ("224.0.0.251", 5353))
        answer, peer = resolver.recvfrom(9000)
    assert peer == (tap.guest, 5353) and answer[:2] == b"\x12\x34" and answer[4:6] == b"\0\1", (
        answer
    )
    assert record(answer, "lab-2.local", tap.guest, flush=False) == 10, answer
    # 10.1: goodbye.
    neighbour.socket.sendto(b"end", (tap.guest, 9))
    assert neighbour.hear(lambda message: record(message, "lab-2.local", tap.guest) == "goodbye")
    status, output = outcome(child, context)
    assert status == 0 and "name lab-2.local" in output, output
