"""Header fields that OCaml programs set, urgent data, time limits on a dead link, and TCP on a
VLAN."""

import contextlib
import fcntl
import hashlib
import os
import socket
import struct
import threading

from cases.network import Server, in_every_form
from cases.protocols import PACKET_AUXDATA, SOL_PACKET, Listener, network_v6, start
from harness.console import PATIENCE
from harness.context import clean, outcome
from harness.relay import setting
from harness.tap import hold_more, ip, wait_for_neighbours

WIRE = "tests/programs/soil/wire.exe"
SYN, ACK, URG, ECE, CWR = 2, 16, 32, 64, 128
CAPABLE = 2  # ECT(0), RFC 3168, 5


class Segment:
    """The fields of a frame with TCP or UDP over IPv4 or IPv6 without options or extension headers;
    `None` for any other frame."""

    @staticmethod
    def read(frame):
        if frame[12:14] == b"\x08\0":
            return Segment(frame[23], frame[26:30], frame[15], frame[22], frame[34:])
        if frame[12:14] == b"\x86\xdd":
            return Segment(
                frame[20],
                frame[22:38],
                struct.unpack("!H", frame[14:16])[0] >> 4 & 255,
                frame[21],
                frame[54:],
            )
        return None

    def __init__(self, protocol, source, traffic, hops, rest):
        self.protocol, self.source, self.hops, self.rest = protocol, source, hops, rest
        self.dscp, self.ecn = traffic >> 2, traffic & 3
        self.flags = rest[13] if protocol == 6 else 0
        self.urgent = struct.unpack("!H", rest[18:20])[0] if protocol == 6 else 0
        self.payload = rest[(rest[12] >> 4) * 4 :] if protocol == 6 else rest[8:]


def from_guest(listener, guest, what, wanted):
    """Waits for a packet from the guest that matches `wanted`, and returns it; discards those
    before it."""
    source = socket.inet_pton(socket.AF_INET6 if ":" in guest else socket.AF_INET, guest)

    def check(frame):
        segment = Segment.read(frame)
        return segment is not None and segment.source == source and wanted(segment)

    frame = listener.wait(check, what)
    del listener.frames[: listener.frames.index(frame) + 1]
    return Segment.read(frame)


def answer(connection):
    """Answers each of two pieces with a byte."""
    for _ in range(2):
        if not connection.recv(100):
            return
        connection.sendall(b"x")
    connection.recv(1)


def marks(context, form, v6):
    """Server and client: the SYN, its answer, data before and after a change."""
    # Linux accepts ECN if requested, but doesn't request it (tcp_ecn, ip-sysctl).
    tap = context.tap()
    setting("ipv4/tcp_ecn", 2)
    host, guest = network_v6(tap) if v6 else (tap.host, tap.guest)
    listener = Listener(tap)
    with socket.create_server(
        ("", 0) if not v6 else ("::", 0), family=socket.AF_INET6 if v6 else socket.AF_INET
    ) as server:
        server.settimeout(PATIENCE)
        port = server.getsockname()[1]
        udp = socket.socket(server.family, socket.SOCK_DGRAM)
        udp.bind((host, port))
        udp.settimeout(PATIENCE)
        child, _ = start(
            context, form, "marks", host, port, program=WIRE, tap=tap, v6=guest if v6 else None
        )

        def see(what, wanted, *fields):
            seen = from_guest(listener, guest, what, wanted)
            assert (seen.hops, seen.dscp, seen.ecn) == fields, (
                what,
                seen.hops,
                seen.dscp,
                seen.ecn,
            )

        for hops, dscp, asks in ((9, 46, True), (64, 0, False)):
            connection, _ = server.accept()
            wanted = SYN | (ECE | CWR if asks else 0)
            # A SYN itself isn't ECN-capable (RFC 3168, 6.1.1).
            see("the SYN", lambda s, wanted=wanted: s.flags == wanted, hops, dscp, 0)
            with connection:
                see(
                    "the first data",
                    lambda s: s.payload == b"first",
                    hops,
                    dscp,
                    CAPABLE if asks else 0,
                )
                connection.recv(100)
                connection.sendall(b"x")
                see(
                    "the second data",
                    lambda s: s.payload == b"second",
                    33,
                    34,
                    CAPABLE if asks else 0,
                )
                connection.sendall(b"x")
                connection.recv(100)
        child.wait_line("ready")
        with socket.create_connection((guest, 7), timeout=PATIENCE) as connection:
            see("the answer to a SYN", lambda s: s.flags == SYN | ACK, 7, 10, 0)
            connection.recv(100)
            connection.sendall(b"x")
            see("the second data", lambda s: s.payload == b"second", 33, 34, 0)
            connection.sendall(b"x")
            connection.recv(1)
        see("a datagram", lambda s: s.protocol == 17 and s.payload.startswith(b"datagram"), 5, 8, 0)
        see("another", lambda s: s.protocol == 17 and s.payload.startswith(b"another"), 6, 63, 0)
        _, peer = udp.recvfrom(100)
        udp.sendto(b"x", peer)
        udp.close()
    status, output = outcome(child, context)
    assert status == 0, output


@in_every_form()
def marks_of_the_program(context, form):
    """Hop limit and DSCP (RFC 9293, 3.9.1.8 and 3.9.2, MUST-48, MUST-49; RFC 1122, 4.1.4) and ECN
    (RFC 3168, 6.1.1) as options."""
    marks(context, form, v6=False)


@in_every_form()
def marks_of_the_program_over_ipv6(context, form):
    """The same in the traffic class and hop limit of RFC 8200, 3."""
    marks(context, form, v6=True)


@in_every_form()
def urgent_data(context, form):
    """RFC 9293, 3.8.5: Linux's MSG_OOB wakes a waiting program; the program's urgent pointer is on
    the wire and known to Linux."""
    tap = context.tap()
    listener = Listener(tap)
    child, _ = start(context, form, "urgent", program=WIRE, tap=tap)
    child.wait_line("ready")
    with socket.create_connection((tap.guest, 7), timeout=PATIENCE) as peer:
        peer.send(b"hurry", socket.MSG_OOB)
        child.wait_line("urgent: 5")
        assert peer.recv(5, socket.MSG_WAITALL) == b"go on"
        peer.sendall(b"slow")
        sent = from_guest(listener, tap.guest, "a pointer", lambda s: s.flags & URG)
        # The pointer refers to the byte after the last urgent one.
        assert sent.urgent == len(b"stop!") or not sent.payload, (sent.urgent, sent.payload)
        # Linux removes the byte before that from the stream.
        assert peer.recv(1, socket.MSG_OOB) == b"!"
        end = b""
        while not end.endswith(b"and the rest"):
            data = peer.recv(100)
            assert data, end
            end += data
        assert end == b"stopand the rest", end
    status, output = outcome(child, context)
    for line in (
        "read: hurry",
        "left: 0",
        "not urgent: 0",
        "read: slow",
        "in time: timed out",
        "end: 0",
    ):
        assert line in output, f"{line!r} is missing from:\n{output}"
    assert status == 0, output


DEAD = """#!/usr/bin/python3
import select, socket, sys
# Takes passt's place, and neither says nor hears anything, but the end.
words = sys.argv
if "--socket" in words:
    server = socket.socket(socket.AF_UNIX)
    server.bind(words[words.index("--socket") + 1])
    server.listen()
    connection, _ = server.accept()
    end = connection.fileno()
else:
    end = int(words[words.index("--fd") + 1])
hangup = select.poll()
hangup.register(end, 0)
hangup.poll(600_000)
"""


def dead_link(context, form, *words, options=()):
    """The program on a link that accepts only as much as fits into a socket."""
    path = context.path("passt")
    with open(path, "w", encoding="ascii") as file:
        file.write(DEAD)
    os.chmod(path, 0o755)
    environment = {"PATH": os.path.dirname(path) + ":" + os.environ["PATH"]}
    child = context.soil(WIRE, form, *words, options=["--net", "passt", *options], env=environment)
    return outcome(child, context)


@in_every_form()
def limits_of_time(context, form):
    """A call that waits for a stalled link ends with Timed_out at its limit, and with Cancelled
    when it is cancelled."""
    addresses = ["--ip", "10.250.0.2/24", "--gateway", "10.250.0.1", "--dns", "10.250.0.1"]
    status, output = dead_link(context, form, "stuck", "10.250.0", "10.250.0.1", options=addresses)
    names = [
        line.split(": ")[0] for line in output.splitlines() if ": timed out, cancelled" in line
    ]
    wanted = ["udp send", "udp send_batch", "udp receive", "udp receive_batch", "dns lookup", "dns texts", "dns services",
              "dns reverse", "tcp connect", "tcp with_connection", "tcp connect_host", "ping", "ethernet receive",
              "ethernet send"]  # fmt: skip
    assert status == 0 and names == wanted and "left over: 0" in output, output
    status, output = dead_link(context, form, "addressless")
    assert status == 0 and "wait_up: timed out" in output, output


PACKET_VNET_HDR = 15
OUTGOING = 4
TUNSETIFF = 0x400454CA
TAP_WITHOUT_NAME_AND_WITH_HEADER = 0x2 | 0x1000 | 0x4000
HEADER = 10  # of virtio-net (virtio 1.2, 5.1.6), without num_buffers


class ServerAt(Server):
    """The same service at an address and port."""

    def __init__(self, address, port, handle):  # pylint: disable=super-init-not-called
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.create_server((address, port), family=family)
        self.handle = handle
        threading.Thread(target=self.accept, daemon=True).start()


class Vlan:
    """An interface of Linux on a VLAN of a TAP, for kernels without 802.1Q: it inserts and removes
    tags.

    Checksums and segmentation that the guest leaves to its device pass on to Linux in virtio's
    header.
    """

    def __init__(self, context, tap, tag):
        self.tag, self.tagged, self.large = tag, 0, 0
        self.name = "vlan" + tap.name[4:]
        self.device = os.open("/dev/net/tun", os.O_RDWR)
        request = struct.pack("16sH22x", self.name.encode(), TAP_WITHOUT_NAME_AND_WITH_HEADER)
        fcntl.ioctl(self.device, TUNSETIFF, request)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        hold_more(self.socket)
        self.socket.bind((tap.name, 0))
        wait_for_neighbours(self.name)
        ip("link", "set", self.name, "up")
        for work in (self.inwards, self.outwards):
            threading.Thread(target=work, daemon=True).start()

    def inwards(self):
        """From the guest: a frame with the tag, which the kernel has stripped and reported
        separately."""
        while True:
            data, notes, _, source = self.socket.recvmsg(70_000, 100)
            tag = struct.unpack("@IIIHHHH", notes[0][2][:20])[5] if notes else 0
            if source[2] != OUTGOING and tag & 0xFFF == self.tag:
                self.tagged += 1
                self.large += len(data) > 2000
                os.write(self.device, data)

    def outwards(self):
        """To the guest, with the tag. This device has no offloads, so the header is empty."""
        while True:
            data = os.read(self.device, 70_000)
            frame = data[HEADER:]
            tag = struct.pack("!HH", 0x8100, self.tag)
            # Where the TAP's queue is full the frame is lost, as on any link.
            with contextlib.suppress(OSError):
                self.socket.send(bytes(HEADER) + frame[:12] + tag + frame[12:])


@in_every_form()
def tcp_on_a_vlan(context, form):
    """IEEE 802.1Q: connections to and from Linux's TCP over a VLAN, IPv4 and IPv6, with
    offloads."""
    tap = context.tap()
    number = int(tap.name[4:])
    vlan = Vlan(context, tap, 5)
    prefix, prefix6 = f"192.168.{number % 256}", f"2001:db8:5:{number:x}:"
    host, guest, host6, guest6 = prefix + ".1", prefix + ".2", prefix6 + ":1", prefix6 + ":2"
    ip("addr", "add", host + "/24", "dev", vlan.name)
    ip("addr", "add", host6 + "/64", "dev", vlan.name, "nodad")

    def count(connection):
        digest = hashlib.md5()
        while data := connection.recv(65536):
            digest.update(data)
        connection.sendall(digest.hexdigest().encode())

    port = 4242
    for address in (host, host6):
        ServerAt(address, port, count)
    child, _ = start(
        context, form, "vlan", 5, guest, guest6, port, host, host6, program=WIRE, tap=tap
    )
    child.wait_line("ready")
    expected = hashlib.md5(bytes(i * 7 % 251 for i in range(1_000_000))).hexdigest()
    text = clean(child.text)
    assert f"answer of {host}: {expected}" in text and f"answer of {host6}: {expected}" in text, (
        text
    )
    context.load("copy", guest, 7, 2_000_000)
    with socket.create_connection((guest6, 7), timeout=PATIENCE) as peer:
        peer.sendall(b"over IPv6")
        assert peer.recv(9, socket.MSG_WAITALL) == b"over IPv6"
    # Meanwhile the untagged interface works as before.
    context.load("copy", tap.guest, 7, 300_000)
    assert vlan.tagged > 100 and vlan.large > 0, (vlan.tagged, vlan.large)
