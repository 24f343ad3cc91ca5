"""UDP on a machine with several addresses: answers leave from the address that was asked."""

import ipaddress
import socket
import struct

from cases.network import in_every_form
from harness.console import PATIENCE
from harness.context import FORMS, SOCKETS
from harness.runner import test
from harness.tap import ip

PROGRAM = "tests/programs/soil/answers.exe"
GROUPS = ("239.1.2.3", "ff05::1:3")


def client(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    peer = socket.socket(family, socket.SOCK_DGRAM)
    peer.settimeout(PATIENCE)
    return peer


def one_to_one(address, interface):
    """The kernel drops what a connected socket gets from another address."""
    with client(address) as peer:
        peer.connect((address, 7))
        for word in (b"one", b"two"):
            peer.send(word)
            answer = peer.recv(1500).decode()
            assert answer == f"{word.decode()} at {address} on {interface}", answer


def one_to_many(address, interface, over, own):
    """A broadcast or multicast question over an interface: an address of the machine answers."""
    with client(address) as peer:
        index = socket.if_nametoindex(over)
        if peer.family == socket.AF_INET6:
            peer.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        else:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            request = struct.pack("@8xI", index)
            peer.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
        if address == "255.255.255.255":
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, over.encode() + b"\0")
        peer.sendto(b"all", (address, 7))
        text, sender = peer.recvfrom(1500)
        assert text.decode() == f"all at {address} on {interface}", text
        assert sender[0] in own, (address, sender)


@in_every_form(forms=FORMS)
def answers_from_the_address_asked(context, form):
    """Two addresses of each family on Soil's stack, a subnet's broadcast, the limited one, and
    groups of both families."""
    tap = context.tap(form)
    number = tap.prefix.replace(".", ":")
    v4 = [tap.guest, f"{tap.prefix}.3"]
    v6 = [str(ipaddress.ip_address(f"fd00:{number}::{last}")) for last in (2, 3)]
    ip("addr", "add", f"fd00:{number}::1/64", "dev", tap.name, "nodad")
    cidrs = [f"{address}/24" for address in v4] + [f"{address}/64" for address in v6]
    options = ["--ip", ",".join(cidrs)]
    child = context.soil(PROGRAM, form, *GROUPS, tap=tap, dhcp=True, options=options)
    child.wait_line("ready")
    tap.wait_up()
    for address in v4 + v6:
        one_to_one(address, "eth0")
    for address in ("255.255.255.255", f"{tap.prefix}.255", GROUPS[0]):
        one_to_many(address, "eth0", tap.name, v4)
    one_to_many(GROUPS[1], "eth0", tap.name, v6)


@test(f"answers-from-the-address-asked-{SOCKETS}")
def on_linux_sockets(context):
    """The same on Linux's own sockets, on a card of the test's."""
    ip("tuntap", "add", "dev", "card", "mode", "tap")
    ip("link", "set", "card", "up")
    own = ["10.9.0.2", "10.9.0.3", "fd09::2", "fd09::3"]
    for address in own:
        v6 = ":" in address
        ip("addr", "add", address + ("/64" if v6 else "/24"), "dev", "card", *["nodad"] * v6)
    ip("route", "add", "multicast", "224.0.0.0/4", "dev", "card")
    child = context.soil(PROGRAM, SOCKETS, GROUPS[0])
    child.wait_line("ready")
    # Linux names an address's card also if the question came over the loopback, which has no index.
    for address in own:
        one_to_one(address, "card")
    for address in ("127.0.0.1", "127.0.0.5", "::1"):
        one_to_one(address, "-")
    for address in ("10.9.0.255", GROUPS[0]):
        one_to_many(address, "card", "card", own)
