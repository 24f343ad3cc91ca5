"""Addresses against Linux and dnsmasq: IPv6 from router advertisements and DHCPv6, conflicts,
fragments, errors."""

import ipaddress
import os
import re
import socket
import struct
import time

from cases.network import SERVICES, dnsmasq, icmp_echo, in_every_form, services
from harness.console import PATIENCE
from harness.tap import ip

ARP = 0x0806


def arp(operation, sender, target, destination=b"\xff" * 6):
    """An ARP packet in its frame; both ends are (Ethernet address, IPv4 address)."""
    packet = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    packet += sender[0] + socket.inet_aton(sender[1]) + target[0] + socket.inet_aton(target[1])
    return destination + sender[0] + struct.pack("!H", ARP) + packet


def wire(tap):
    """An ARP socket on the host's end of a TAP."""
    peer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ARP))
    peer.bind((tap.name, 0))
    peer.settimeout(0.2)
    return peer


def heard(peer, wanted, seconds=PATIENCE):
    """The first ARP packet accepted by `wanted`: (operation, sender, target), or None."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            frame = peer.recv(2048)
        except TimeoutError:
            continue
        operation = struct.unpack("!H", frame[20:22])[0]
        sender = (frame[22:28], socket.inet_ntoa(frame[28:32]))
        target = (frame[32:38], socket.inet_ntoa(frame[38:42]))
        if wanted(operation, sender, target):
            return operation, sender, target
    return None


def autoconfigured(prefix, mac):
    """The address that a machine forms in a /64 (RFC 4291, appendix A)."""
    number = bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]
    return str(ipaddress.ip_network(prefix)[int.from_bytes(number)])


def leased(server, after=0):
    """The address that dnsmasq leased and the client's Ethernet address, from its lines from
    `after` on."""
    _, line = server.wait_line("DHCPACK(", after=after)
    found = re.search(r"DHCPACK\(\S+\) (\S+) (\S+)", line)
    return found[1], bytes.fromhex(found[2].replace(":", ""))


def echo(address, port, data, seconds=PATIENCE):
    """The answer of a TCP echo service; retries while the service comes up."""
    end = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection((address, port), timeout=1) as peer:
                peer.sendall(data)
                return peer.recv(len(data), socket.MSG_WAITALL)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


@in_every_form(forms=("process", "microvm"))
def router_advertisements(context, form):
    """RFC 4862 with dnsmasq as the router: the guest forms an address from its prefix; TCP and
    large pings work over it."""
    tap = context.tap()
    number = int(tap.name[4:])
    prefix = f"fd00:50:{number:x}::/64"
    ip("addr", "add", str(ipaddress.ip_network(prefix)[1]) + "/64", "dev", tap.name, "nodad")
    server = dnsmasq(
        context,
        tap,
        "--enable-ra",
        f"--dhcp-range={prefix.split('/', maxsplit=1)[0]},ra-only,64,1h",
        f"--ra-param={tap.name},high,2,1800",
    )
    child = context.soil(SERVICES, form, tap=tap, dhcp=True)
    child.wait_line("ready")
    address, mac = leased(server)
    assert echo(address, 7, b"over IPv4") == b"over IPv4"
    guest = autoconfigured(prefix, mac)
    assert echo(guest, 7, b"over IPv6") == b"over IPv6", guest
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as peer:
        peer.settimeout(PATIENCE)
        # Larger than a frame: fragments both ways.
        for length in (56, 4000):
            request = b"\x80\0\0\0" + struct.pack("!HH", 77, length) + os.urandom(length)
            peer.sendto(request, (guest, 0))
            answer = b""
            while answer[:1] != b"\x81":
                answer = peer.recv(65536)
            assert answer[4:] == request[4:]


@in_every_form(forms=("process", "microvm"))
def dhcpv6_address(context, form):
    """RFC 8415 with dnsmasq: the router announces DHCPv6, which assigns an address."""
    tap = context.tap()
    number = int(tap.name[4:])
    network = ipaddress.ip_network(f"fd00:51:{number:x}::/64")
    ip("addr", "add", f"{network[1]}/64", "dev", tap.name, "nodad")
    server = dnsmasq(
        context, tap, "--enable-ra", f"--dhcp-range={network[0x100]},{network[0x10f]},64,1h",
        f"--ra-param={tap.name},high,2,1800",
    )  # fmt: skip
    child = context.soil(SERVICES, form, tap=tap, dhcp=True)
    child.wait_line("ready")
    _, line = server.wait_line("DHCPREPLY(")
    found = re.search(r"DHCPREPLY\(\S+\) (fd00:\S+)", line)
    assert ipaddress.ip_address(found[1]) in network, server.text
    assert echo(found[1], 7, b"leased") == b"leased"


@in_every_form(forms=("process", "microvm"))
def conflicts_of_addresses(context, form):
    """RFC 5227: the guest answers a probe, and defends its address against a claim."""
    _, tap = services(context, form)
    other = b"\x02\0\0\0\x77\x77"
    with wire(tap) as peer:
        own = peer.getsockname()[4]
        peer.send(arp(1, (own, "0.0.0.0"), (b"\0" * 6, tap.guest)))
        answer = heard(peer, lambda kind, sender, _: kind == 2 and sender[1] == tap.guest)
        assert answer, "the probe wasn't answered"
        guest = answer[1][0]
        # The initial announcements are over.
        while heard(peer, lambda _, sender, target: sender[1] == target[1] == tap.guest, 2.5):
            pass
        peer.send(arp(1, (other, tap.guest), (b"\0" * 6, tap.guest)))
        mine = (guest, tap.guest)
        defence = heard(peer, lambda _, sender, target: sender == mine and target[1] == tap.guest)
        assert defence, "the address wasn't defended"
    assert echo(tap.guest, 7, b"still there") == b"still there"


@in_every_form(forms=("process",))
def declined_lease(context, form):
    """RFC 5227, 2.4 (b) and RFC 2131, 4.4.4: the guest declines a leased address that another
    machine keeps claiming, and takes another one."""
    tap = context.tap()
    server = dnsmasq(context, tap, "--no-ping")
    child = context.soil(SERVICES, form, tap=tap, dhcp=True)
    child.wait_line("ready")
    first, _ = leased(server)
    assert echo(first, 7, b"mine") == b"mine"
    with wire(tap) as peer:
        for _ in range(2):
            peer.send(arp(1, (b"\x02\0\0\0\x88\x88", first), (b"\0" * 6, first)))
            time.sleep(0.5)
    # A decline, a pause of ten seconds, and another address.
    server.wait_line(f"DHCPDECLINE({tap.name}) {first}")
    second, _ = leased(
        server, after=next(n for n, (_, line) in enumerate(server.lines) if "DHCPDECLINE(" in line)
    )
    assert second != first, server.text
    assert echo(second, 7, b"here") == b"here"


@in_every_form()
def fragments_and_errors(context, form):
    """The guest returns large datagrams and pings in fragments, and reports closed ports and
    unknown protocols."""
    _, tap = services(context, form)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(PATIENCE)
        peer.connect((tap.guest, 7))
        data = os.urandom(30_000)
        peer.send(data)
        assert peer.recv(65536) == data
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as peer:
        peer.settimeout(PATIENCE)
        peer.connect((tap.guest, 0))
        message = icmp_echo(1, os.urandom(20_000))
        peer.send(message)
        answer = peer.recv(65536)[20:]
        assert answer[0] == 0 and answer[4:] == message[4:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(PATIENCE)
        peer.connect((tap.guest, 4))
        peer.send(b"anybody?")
        try:
            peer.recv(10)
            raise AssertionError("an answer from a closed port")
        except ConnectionRefusedError:
            pass
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, 253) as peer:
        peer.settimeout(PATIENCE)
        # RFC 3692's experimental protocol number: ICMP reports it as unreachable.
        peer.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
        peer.connect((tap.guest, 0))
        peer.send(b"anybody?")
        try:
            peer.recv(10)
            raise AssertionError("an answer of an unknown protocol")
        except OSError as error:
            assert error.strerror in ("Protocol not available", "Protocol not supported"), error
