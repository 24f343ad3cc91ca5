#!/usr/bin/python3
"""Malformed packets of every layer, sent to a guest on a TAP: Scapy's, and the fuzzing corpus
mutated.

Usage: malformed.py INTERFACE HOST_IP GUEST_IP GUEST_MAC SECONDS SEED. For so long, and at least a
hundred for each second, however slow the machine is; prints how many frames were sent.
"""

import glob
import ipaddress
import logging
import os
import random
import socket
import sys
import time

logging.getLogger("scapy").setLevel(logging.ERROR)

from scapy.all import (  # noqa: E402
    ARP, BOOTP, DHCP, DNS, DNSQR, ICMP, IP, TCP, UDP, Dot1Q, Ether, ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS,
    ICMPv6ND_RA, ICMPv6NDOptPrefixInfo, ICMPv6PacketTooBig, IPOption_LSRR, IPOption_RR, IPv6, IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, Raw, fuzz,
)  # fmt: skip

CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "net", "corpus")


def templates(mac, host, guest):
    """A function for each kind of packet, with random fields."""
    down = Ether(dst=mac)
    everyone = Ether(dst="ff:ff:ff:ff:ff:ff")
    group = Ether(dst="33:33:00:00:00:01")
    ip = IP(src=host, dst=guest)
    six = IPv6(src="fe80::9", dst="fe80::1")
    return [
        lambda: down / fuzz(ARP(psrc=host, pdst=guest)),
        lambda: everyone / ARP(op=random.choice([1, 2]), psrc=guest, pdst=guest),
        lambda: down / fuzz(IP(src=host, dst=guest)) / os.urandom(random.randrange(60)),
        lambda: down / ip / fuzz(TCP(dport=random.choice([7, 9, 19, 80, 4444]))),
        lambda: down / ip / fuzz(TCP(dport=80, flags="S", options=[(random.randrange(256), os.urandom(random.randrange(9)))])),
        lambda: down / ip / TCP(dport=80, flags=random.randrange(256), dataofs=random.randrange(16)) / b"x",
        lambda: down / ip / fuzz(UDP(dport=random.choice([7, 53, 68]))) / os.urandom(random.randrange(99)),
        lambda: down / ip / UDP(dport=7, len=random.randrange(65536)) / b"y",
        lambda: down / ip / fuzz(ICMP()) / os.urandom(random.randrange(60)),
        lambda: down / IP(src=host, dst=guest, options=[random.choice([IPOption_RR, IPOption_LSRR])(length=random.randrange(256))]) / ICMP(),
        lambda: down / IP(src=host, dst=guest, frag=random.randrange(8192), flags=random.randrange(8), proto=random.choice([1, 6, 17])) / os.urandom(random.randrange(400)),
        lambda: down / IP(src=host, dst=guest, ihl=random.randrange(16), len=random.randrange(2000)) / ICMP(),
        lambda: down / IP(src=random.choice(["0.0.0.0", "255.255.255.255", "224.0.0.1", "127.0.0.1", guest]), dst=guest) / TCP(dport=80, flags="S"),
        lambda: everyone / IP(src=host, dst="255.255.255.255") / UDP(sport=67, dport=68) / fuzz(BOOTP(op=2)) / fuzz(DHCP()),
        lambda: down / ip / UDP(sport=53, dport=random.randrange(65536)) / fuzz(DNS(qr=1, qd=DNSQR(qname="one.test"))),
        lambda: down / fuzz(IPv6(src="fe80::9", dst="fe80::1")) / os.urandom(random.randrange(60)),
        lambda: group / IPv6(src="fe80::9", dst="ff02::1", hlim=255) / fuzz(ICMPv6ND_RA()) / fuzz(ICMPv6NDOptPrefixInfo()),
        lambda: group / IPv6(src="fe80::9", dst="ff02::1", hlim=255) / fuzz(random.choice([ICMPv6ND_NS, ICMPv6ND_NA])()),
        lambda: down / six / fuzz(random.choice([IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting, IPv6ExtHdrFragment])()) / ICMPv6EchoRequest(),
        lambda: down / six / fuzz(ICMPv6PacketTooBig()) / os.urandom(random.randrange(90)),
        lambda: down / fuzz(Dot1Q()) / ip / ICMP(),
        lambda: Ether(dst=mac, type=random.randrange(65536)) / os.urandom(random.randrange(1500)),
        lambda: Raw(os.urandom(random.randrange(14, 60))),
    ]  # fmt: skip


def corpus(mac, host, guest):
    """The frames of net/corpus, for this guest."""
    change = [
        (bytes.fromhex("020000000001"), bytes.fromhex(mac.replace(":", ""))),
        (ipaddress.ip_address("10.0.0.1").packed, ipaddress.ip_address(guest).packed),
        (ipaddress.ip_address("10.0.0.9").packed, ipaddress.ip_address(host).packed),
    ]
    frames = []
    for name in sorted(glob.glob(os.path.join(CORPUS, "*.hex"))):
        with open(name, encoding="ascii") as file:
            for line in file:
                if line[0] in "#+":
                    continue
                frame = bytes.fromhex(line)
                for old, new in change:
                    frame = frame.replace(old, new)
                frames.append(frame)
    return frames


def mutated(frames):
    frame = bytearray(random.choice(frames))
    for _ in range(random.randrange(4)):
        if frame:
            frame[random.randrange(min(len(frame), 90))] = random.choice(
                [0, 1, 127, 128, 255, random.randrange(256)]
            )
    if random.randrange(8) == 0:
        del frame[random.randrange(len(frame) + 1) :]
    data = bytes(frame)
    if random.randrange(3) == 0 and len(data) > 34:
        # Scapy makes the checksums right that it finds missing.
        packet = Ether(data)
        for layer in (IP, TCP, UDP, ICMP):
            if layer in packet:
                del packet[layer].chksum
        try:
            data = bytes(packet)
        except Exception:  # what can't be built again is sent as it is
            pass
    return data


def main():
    interface, host, guest, mac, seconds, seed = sys.argv[1:]
    random.seed(int(seed))
    kinds = templates(mac, host, guest)
    frames = corpus(mac, host, guest)
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind((interface, 0))
    sent = 0
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end or sent <= 100 * float(seconds):
        for _ in range(50):
            try:
                if random.randrange(2):
                    data = bytes(random.choice(kinds)())
                else:
                    data = mutated(frames)
                out.send(data[:1514].ljust(14, b"\0"))
                sent += 1
            except (
                Exception
            ):  # Scapy can't build everything that it makes up, and Linux refuses some
                continue
    print(f"sent={sent}")


main()
