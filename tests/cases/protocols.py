"""Groups, broadcast, raw frames, the filter, ICMP, routes, VLANs and options, from OCaml, against
Linux."""

import errno
import hashlib
import ipaddress
import os
import re
import select
import socket
import struct
import threading
import time

from cases.names import A, NAMES, NameServer
from cases.network import Server, in_every_form
from harness.console import PATIENCE
from harness.context import clean, outcome
from harness.tap import ip

PROTOCOLS = "tests/programs/soil/protocols.exe"
AAAA = 28
ETHERTYPE = 0x88B5
IP_RECVTTL = 12
# Seconds to wait for the AAAA answer (soil-ocaml/src/operations/eyeballs.ml).
RESOLUTION_DELAY = 0.05
SOL_PACKET, PACKET_AUXDATA = 263, 8


def network_v6(tap):
    """An IPv6 network for the TAP: (ours, the guest's)."""
    # Not fd00::/8, which comes after IPv4 (RFC 6724, 2.1).
    network = ipaddress.ip_network(f"2001:db8:{int(tap.name[4:]):x}::/64")
    ours, guest = str(network[1]), str(network[2])
    ip("addr", "add", f"{ours}/64", "dev", tap.name, "nodad")
    return ours, guest


def start(context, form, *words, program=PROTOCOLS, tap=None, v6=None, options=()):
    """The program on a TAP; with `v6`, its address, over IPv6 as well."""
    tap = tap or context.tap()
    if v6:
        gateways = f"{tap.host},{ipaddress.ip_address(v6) - 1}"
        options = ["--ip", f"{tap.guest_cidr},{v6}/64", "--gateway", gateways, *options]
    child = context.soil(program, form, *map(str, words), tap=tap, dhcp=bool(v6), options=options)
    return child, tap


class Listener:
    """Every frame on the TAP, as it arrives."""

    def __init__(self, tap):
        self.frames = []
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.bind((tap.name, 0))
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                self.frames.append(self.socket.recv(2048))
            except OSError as error:
                # Linux reports once that the TAP was down; its frames follow when it is up again.
                if error.errno != errno.ENETDOWN:
                    raise

    def wait(self, wanted, what, seconds=PATIENCE):
        end = time.monotonic() + seconds
        seen = 0
        while time.monotonic() < end:
            for frame in self.frames[seen:]:
                seen += 1
                if wanted(frame):
                    return frame
            time.sleep(0.02)
        raise AssertionError(f"{what} wasn't seen in {len(self.frames)} frames")


def igmp_report(kind, group):
    """Whether a frame is an IGMPv3 report (RFC 3376, 4.2) with a record of this type for the
    group."""
    wanted = socket.inet_aton(group)

    def check(frame):
        if frame[12:14] != b"\x08\0" or frame[23] != 2:
            return False
        message = frame[14 + (frame[14] & 15) * 4 :]
        return message[0] == 0x22 and message[8] == kind and message[12:16] == wanted

    return check


def mld_report(kind, group):
    """The same of MLDv2 (RFC 3810, 5.2)."""
    wanted = socket.inet_pton(socket.AF_INET6, group)

    def check(frame):
        if frame[12:14] != b"\x86\xdd":
            return False
        at = frame.find(b"\x8f\0", 54)
        # Records of 20 bytes, without sources; those due at once share a report.
        records = frame[at + 8 :] if at >= 0 else b""
        return any(
            records[start] == kind and records[start + 4 : start + 20] == wanted
            for start in range(0, len(records) - 19, 20)
        )

    return check


TO_EXCLUDE, TO_INCLUDE = 4, 3  # RFC 3376, 4.2.12: joined, left


@in_every_form()
def group_of_ipv4(context, form):
    """Joining and leaving send IGMPv3 reports; the group's datagrams arrive only in between."""
    tap = context.tap()
    listener = Listener(tap)
    group = "239.7.7.7"
    child, _ = start(context, form, "join", group, 4242, tap=tap)
    child.wait_line("joined")
    listener.wait(igmp_report(TO_EXCLUDE, group), "the report of joining")
    tap.wait_up()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(tap.host))
        peer.sendto(b"another group", ("239.7.7.8", 4242))
        peer.sendto(b"members", (group, 4242))
        child.wait_line(f"heard: members from {tap.host}")
        child.wait_line("left")
        listener.wait(igmp_report(TO_INCLUDE, group), "the report of leaving")
        peer.sendto(b"late", (group, 4242))
    status, output = outcome(child, context)
    assert (
        status == 0
        and "afterwards: timed out" in output
        and "leave again: invalid" in output.lower()
    ), output


@in_every_form()
def group_of_ipv6(context, form):
    """The same with MLDv2."""
    tap = context.tap()
    ours, guest = network_v6(tap)
    listener = Listener(tap)
    group = "ff05::7:7"
    child, _ = start(context, form, "join", group, 4242, tap=tap, v6=guest)
    child.wait_line("joined")
    listener.wait(mld_report(TO_EXCLUDE, group), "the report of joining")
    tap.wait_up()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as peer:
        index = socket.if_nametoindex(tap.name)
        peer.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        peer.bind((ours, 0))
        peer.sendto(b"members", (group, 4242, 0, index))
        child.wait_line(f"heard: members from {ours}")
        child.wait_line("left")
        listener.wait(mld_report(TO_INCLUDE, group), "the report of leaving")
        peer.sendto(b"late", (group, 4242, 0, index))
    status, output = outcome(child, context)
    assert status == 0 and "afterwards: timed out" in output, output


@in_every_form()
def to_groups_and_to_all(context, form):
    """Datagrams to groups have the requested hop limit; broadcasts of both kinds arrive."""
    tap = context.tap()
    _, guest = network_v6(tap)
    subnet = tap.prefix + ".255"
    port = 5000 + int(tap.name[4:])  # parallel tests do the same
    targets = ["239.9.9.9", "255.255.255.255", subnet, "ff02::77"]
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as four,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six,
    ):
        four.bind(("", port))
        four.setsockopt(
            socket.IPPROTO_IP,
            socket.IP_ADD_MEMBERSHIP,
            socket.inet_aton("239.9.9.9") + socket.inet_aton(tap.host),
        )
        four.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        index = socket.if_nametoindex(tap.name)
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        six.bind(("::", port))
        member = socket.inet_pton(socket.AF_INET6, "ff02::77") + struct.pack("@I", index)
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
        four.settimeout(PATIENCE)
        six.settimeout(PATIENCE)
        child, _ = start(context, form, "send", port, *targets, tap=tap, v6=guest)
        heard = {}
        for _ in range(3):
            data, notes, _, peer = four.recvmsg(2000, 200)
            heard[data.decode()] = (peer[0], struct.unpack("@i", notes[0][2])[0])
        for target in targets[:3]:
            assert heard[f"for {target}"][0] == tap.guest, heard
        assert heard["for 239.9.9.9"][1] == 3, heard
        assert six.recv(2000) == b"for ff02::77"
    status, output = outcome(child, context)
    assert status == 0 and output.count(": yes") == 4, output


@in_every_form()
def frames_of_a_type_of_ones_own(context, form):
    """Soil.Ethernet against a packet socket: broadcast, to the machine, to another one, padded and
    of maximum length."""
    tap = context.tap()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE)) as peer:
        peer.bind((tap.name, 0))
        peer.settimeout(PATIENCE)
        own = peer.getsockname()[4]
        child, _ = start(context, form, "ethernet", 3, tap=tap)
        frame = peer.recv(2048)
        guest = frame[6:12]
        assert frame[:6] == b"\xff" * 6 and frame[14:26] == b"to everybody", frame
        child.wait_line("open on " + guest.hex(":"))
        tap.wait_up()
        tail = own + struct.pack("!H", ETHERTYPE)
        peer.send(b"\x02\0\0\0\0\x99" + tail + b"for another machine")
        for destination, payload in (
            (guest, b"x" * 46),
            (b"\xff" * 6, b"y" * 1500),
            (guest, os.urandom(700)),
        ):
            peer.send(destination + tail + payload)
            answer = peer.recv(2048)
            assert answer[:14] == own + guest + tail[6:] and answer[14:] == payload, answer[:30]
    status, output = outcome(child, context)
    for line in (
        f"frame of 46 from {own.hex(':')} to me",
        "frame of 1500 from",
        "to ff:ff:ff:ff:ff:ff",
        "again: address in use",
        "in time: timed out",
    ):
        assert line in output, f"{line!r} is missing from:\n{output}"
    assert status == 0 and "IPv4: open" not in output and "too long: sent" not in output, output


@in_every_form()
def filter_from_the_program(context, form):
    """Net.filter: rules apply from now on, by port, by peer and by rate, and can be removed."""
    child, tap = start(context, form, "filter")
    child.wait_line("ready")
    tap.wait_up()
    ip("addr", "add", f"{tap.prefix}.40/24", "dev", tap.name)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        control.settimeout(PATIENCE)
        control.connect((tap.guest, 9))

        def rules(*lines):
            control.send("\n".join(lines).encode())
            assert control.recv(100) == b"done"

        def dial(port, source, timeout):
            with socket.create_connection(
                (tap.guest, port), timeout=timeout, source_address=(source, 0)
            ) as peer:
                peer.sendall(b"x")
                return peer.recv(1) == b"x"

        def reaches(port, source=tap.host):
            return dial(port, source, PATIENCE)

        def silent(port, source=tap.host):
            """Whether a SYN gets no answer within 0.7 s; later requests are answered."""
            try:
                return not dial(port, source, 0.7)
            except TimeoutError:
                return True

        assert reaches(7) and reaches(8)
        rules("deny in tcp port 7")
        assert silent(7) and reaches(8)
        rules(f"allow in tcp with {tap.prefix}.40 port 7", "deny in tcp port 7-8 new")
        assert reaches(7, f"{tap.prefix}.40") and silent(7) and silent(8, f"{tap.prefix}.40")
        # All at once: during their second some pass, and not all of forty.
        rules("allow in tcp port 7 new limit 1 3", "deny in tcp port 7 new")
        many = [socket.socket() for _ in range(40)]
        for one in many:
            one.setblocking(False)
            one.connect_ex((tap.guest, 7))
        some = select.select([], many, [], PATIENCE)[1]
        time.sleep(0.7)
        up = select.select([], many, [], 0)[1]
        assert some and len(up) < 40, f"{len(up)} of 40"
        for one in many:
            one.close()
        # Invalid rules change nothing.
        said = len(child.lines)
        rules("nonsense")
        child.wait_line("rules: bad configuration", after=said)
        assert child.text.count("rules: in force") == 3, clean(child.text)
        rules("")
        assert reaches(7) and reaches(8)


@in_every_form()
def errors_of_icmp(context, form):
    """Port unreachable and host unreachable reach a connected UDP descriptor, once, and a TCP
    connect."""
    tap = context.tap()
    child, _ = start(context, form, "errors", tap.host, 4, tap=tap)
    status, output = outcome(child, context)
    lines = re.findall(r"(receive|once more|send|tcp): (.*)", output)
    refused = [
        "timed out",
        "timed out",
        "connection refused",
        "timed out",
        "connection refused",
        "connection refused",
    ]
    assert status == 0 and [text for _, text in lines] == refused, output
    with open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as file:
        file.write("1")
    ip("route", "replace", "unreachable", "198.51.100.0/24")
    other = context.tap()
    child, _ = start(context, form, "errors", "198.51.100.7", 4, tap=other)
    status, output = outcome(child, context)
    lines = [text for _, text in re.findall(r"(receive|once more|send|tcp): (.*)", output)]
    wanted = ["timed out", "timed out", "unreachable", "timed out", "unreachable", "unreachable"]
    assert (
        status == 0
        and [("unreachable" if "unreachable" in line else line) for line in lines] == wanted
    ), output


@in_every_form()
def ping_from_the_program(context, form):
    """Soil.Icmp.ping over IPv4 and IPv6, the machine itself, and missing hosts."""
    tap = context.tap()
    ours, guest = network_v6(tap)
    targets = [tap.host, ours, "127.0.0.1", tap.guest, f"{tap.prefix}.99", "239.1.1.1"]
    child, _ = start(context, form, "ping", *targets, tap=tap, v6=guest)
    status, output = outcome(child, context)
    for target in targets[:4]:
        assert f"ping {target}: answered, hop limit 64" in output, output
    assert status == 0 and re.search(rf"ping {targets[4]}: (timed out|.*unreachable)", output), (
        output
    )
    assert "ping 239.1.1.1: answered" not in output, output


@in_every_form()
def routes_of_the_program(context, form):
    """Routes are added, listed, used and removed."""
    tap = context.tap()
    number = int(tap.name[4:])
    network, far = f"198.18.{number % 256}.0/24", f"198.18.{number % 256}.7"
    ip("addr", "replace", f"{far}/32", "dev", "lo")
    dead = f"{tap.prefix}.99"
    child, _ = start(context, form, "route", network, dead, far, tap=tap)
    status, output = outcome(child, context)
    tables = [sorted(line.split(", ")) for line in re.findall("routes: (.*)", output)]
    first = sorted([f"{tap.network} by link", f"0.0.0.0/0 by {tap.host}"])
    shown = [[route for route in table if ":" not in route] for table in tables]
    assert shown == [first, sorted([*first, f"{network} by {dead}"]), first], output
    pings = re.findall(rf"ping {far}: (\w+)", output)
    assert status == 0 and pings[0] == pings[2] == "answered" != pings[1], output
    assert "again: removed" not in output and "no interface: added" not in output, output


class TaggedPeer:
    """A VLAN's host, for kernels without 802.1Q: answers ARP and echo requests, and sends an echo
    request itself."""

    def __init__(self, tap, tag, address):
        self.tag, self.address, self.echoes, self.answers = tag, socket.inet_aton(address), 0, []
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.bind((tap.name, 0))
        self.mac = b"\x02\0\0\0\x10\x10"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            # The kernel strips tags from frames and reports them separately.
            frame, notes, _, _ = self.socket.recvmsg(2048, 100)
            if notes and struct.unpack("@IIIHHHH", notes[0][2][:20])[5] == self.tag:
                self.handle(frame[6:12], frame[12:14], frame[14:])

    def send(self, mac, kind, packet, tag=None):
        self.socket.send(
            mac + self.mac + struct.pack("!HH", 0x8100, tag or self.tag) + kind + packet
        )

    def handle(self, mac, kind, packet):
        if kind == b"\x08\x06" and packet[7] == 1 and packet[24:28] == self.address:
            answer = packet[:7] + b"\2" + self.mac + self.address + packet[8:18]
            self.send(mac, kind, answer)
        elif kind == b"\x08\0" and packet[9] == 1 and packet[20] == 8:
            self.echoes += 1
            answer = icmp(0, packet[24:])
            self.send(mac, kind, ipv4(packet[16:20], packet[12:16], answer))
        elif kind == b"\x08\0" and packet[9] == 1 and packet[20] == 0:
            self.answers.append(packet[28:])


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)


def icmp(kind, rest):
    return bytes([kind, 0]) + checksum(bytes([kind, 0, 0, 0]) + rest) + rest


def ipv4(source, destination, payload):
    head = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, 1)
    return head + checksum(head + b"\0\0" + source + destination) + source + destination + payload


@in_every_form()
def vlan_of_the_program(context, form):
    """802.1Q: an interface on a VLAN resolves neighbours, pings and answers there, with its tag,
    and not with another one."""
    tap = context.tap()
    own, other = "192.168.77.2", "192.168.77.1"
    peer = TaggedPeer(tap, 10, other)
    listener = Listener(tap)
    child, _ = start(context, form, "vlan", 10, own, other, tap=tap)
    child.wait_line("ready")
    text = clean(child.text)
    assert f"ping {other}: answered" in text and "interface 1 is eth0.10" in text, text
    assert "again: 2" not in text and "on a VLAN: 2" not in text and peer.echoes == 1, text
    guest = listener.wait(
        lambda frame: frame[12:14] == b"\x08\x06" and frame[28:32] == socket.inet_aton(own), "ARP"
    )[6:12]
    for tag, marker in ((11, b"wrong VLAN"), (10, b"right VLAN")):
        request = icmp(8, struct.pack("!HH", 1, tag) + marker)
        peer.send(guest, b"\x08\0", ipv4(peer.address, socket.inet_aton(own), request), tag)
    end = time.monotonic() + PATIENCE
    while not peer.answers and time.monotonic() < end:
        time.sleep(0.02)
    assert peer.answers == [b"right VLAN"], peer.answers
    # Meanwhile the untagged interface works as before.
    context.load("copy", tap.guest, 7, 300_000)


@in_every_form()
def options_of_connections(context, form):
    """Congestion control, buffer sizes and other options of `connect` take effect, and the bytes
    are right."""
    tap = context.tap()

    def count(connection):
        digest = hashlib.md5()
        while data := connection.recv(65536):
            digest.update(data)
        connection.sendall(digest.hexdigest().encode())

    server = Server(tap, count)
    data = bytes(i * 7 % 251 for i in range(1_000_000))
    expected = hashlib.md5(data + data).hexdigest()
    for congestion in ("cubic", "newreno"):
        child, _ = start(context, form, "options", tap.host, server.port, congestion, tap=tap)
        status, output = outcome(child, context)
        assert (
            status == 0 and f"answer {expected}" in output and "most within the limit" in output
        ), output


class NamesOfIPv4(NameServer):
    """A name server that never answers questions for AAAA."""

    def serve_udp(self):
        while True:
            query, peer = self.udp.recvfrom(4096)
            if query[12:].find(struct.pack("!HH", AAAA, 1)) < 0:
                self.udp.sendto(self.answer(query, False), peer)


class Server6(Server):
    """The same service on an IPv6 address and port."""

    def __init__(self, address, port, handle):  # pylint: disable=super-init-not-called
        self.socket = socket.create_server((address, port), family=socket.AF_INET6)
        self.handle = handle
        threading.Thread(target=self.accept, daemon=True).start()


@in_every_form(limit=120)
def happy_eyeballs_over_both(context, form):
    """RFC 8305: IPv6 first; if it is dead, IPv4 250 ms later; IPv6 alone; AAAA that never
    arrives."""

    def welcome(connection):
        connection.sendall(b"welcome")

    for server in (NameServer, NamesOfIPv4):
        tap = context.tap()
        ours, guest = network_v6(tap)
        peer = Server(tap, welcome)
        Server6(ours, peer.port, welcome)
        four, six = socket.inet_aton(tap.host), socket.inet_pton(socket.AF_INET6, ours)
        zone = {
            ("both.test", A): [four], ("both.test", AAAA): [six],
            ("six.test", AAAA): [six],
        }  # fmt: skip
        # Several times: other load on the host delays some. Each has its own silent address: after
        # three seconds Linux knows one to be unreachable, which takes no time.
        names = []
        for number in range(3):
            dead = f"dead{number}.test"
            gone = ipaddress.ip_address(ours) + 0x500 + number
            zone[(dead, A)], zone[(dead, AAAA)] = [four], [gone.packed]
            names += (
                [*["both.test"] * 4, dead, "six.test"] if server is NameServer else ["both.test"]
            )
        server(tap, zone)
        # At first no IPv6 address may send (RFC 4862, 5.4).
        words = ["clock", "3"]
        words += [word for name in names for word in ("connect", f"{name}:{peer.port}")]
        child, _ = start(
            context, form, *words, program=NAMES, tap=tap, v6=guest, options=["--dns", tap.host]
        )
        status, output = outcome(child, context)
        found = re.findall(
            r"connect (\w+)\.test:\d+: (\S+):\d+ after ([0-9.]+) s, \d+ connections, says welcome",
            output,
        )
        assert status == 0 and [name + ".test" for name, _, _ in found] == names, output
        found = [(name.rstrip("012"), *rest) for name, *rest in found]
        chosen = {
            name: {address.strip("[]") for other, address, _ in found if other == name}
            for name, _, _ in found
        }
        least = {
            name: min(float(seconds) for other, _, seconds in found if other == name)
            for name in chosen
        }
        if server is NamesOfIPv4:
            assert chosen["both"] == {tap.host}, output
            context.bound("seconds without the answer for AAAA", least["both"], 2.5)
        else:
            # IPv4 wins where the host takes longer than the delays of RFC 8305, 3 and 5, to answer
            # the AAAA question or an attempt.
            early = [
                address.strip("[]")
                for name, address, seconds in found
                if name == "both" and float(seconds) < RESOLUTION_DELAY
            ]
            assert set(early) <= {ours} == chosen["six"] and ours in chosen["both"], output
            # The same for the silent ones: an attempt's delay passes where AAAA arrived in time.
            dead = [float(seconds) for name, _, seconds in found if name == "dead"]
            assert chosen["dead"] == {tap.host}, output
            assert RESOLUTION_DELAY <= min(dead) and 0.2 < max(dead), output
            context.bound("seconds past a silent address", least["dead"], 2)
