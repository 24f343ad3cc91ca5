"""Network cards that aren't virtio devices: QEMU's e1000e, e1000 and vmxnet3 in place of the card
of `soil run`."""

import hashlib
import re
import socket
import struct

from cases.devices import SERVICES, work
from cases.user_network import free_port
from harness.console import PATIENCE
from harness.context import ARCH, launcher
from harness.qmp import Monitor
from harness.runner import test

CARDS = ("e1000e", "e1000", "vmxnet3")
# Not run with images for arm64 yet.
MACHINES = () if ARCH else ("q35", "pc")
OFFLOADS = ("", "-tso", "-csum", "-rxcsum", "-all")
# Of `soil run`'s card.
VIRTIO = re.compile(r"virtio-net-pci,([^ ]*?),disable-legacy=on,romfile=(?= )")


def start(context, card, machine, options, **others):
    """A machine as `soil run` starts it, with another card."""
    words = launcher(context, SERVICES, machine, options=options, **others)
    words[-1], count = VIRTIO.subn(rf"{card},\1,romfile=", words[-1])
    assert count == 1, words[-1]
    child = context.child(words, cwd=context.directory)
    child.wait_line("ready")
    return child


def check(context, card, machine):
    tap = context.tap()
    for offload in OFFLOADS:
        child = start(context, card, machine, ["--env", f"SOIL_OFFLOAD={offload}"], tap=tap)
        work(context, tap, child)
        child.stop()


def ones_sum(data):
    """The ones' complement sum of RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def frames(path):
    """The frames of a pcap file."""
    with open(path, "rb") as file:
        data = file.read()
    at = 24
    while at + 16 <= len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        yield data[at + 16 : at + 16 + length]
        at += 16 + length


def check_sums(context, card, machine):
    ports = [free_port(), free_port()]
    dump = context.path("frames.pcap")
    options = ["--net", "user", "--forward", f"{ports[0]}:7", "--forward", f"{ports[1]}:19"]
    options += ["--qemu-arg=-object", f"--qemu-arg=filter-dump,id=dump,netdev=net0,file={dump}"]
    child = start(context, card, machine, options)
    sent = bytes(range(256)) * 1000
    with socket.create_connection(("127.0.0.1", ports[0]), timeout=PATIENCE) as echo:
        echo.sendall(sent)
        got = b""
        while len(got) < len(sent) and (part := echo.recv(1 << 16)):
            got += part
    assert hashlib.sha256(got).digest() == hashlib.sha256(sent).digest()
    with socket.create_connection(("127.0.0.1", ports[1]), timeout=PATIENCE) as numbers:
        count = 0
        while count < 2_000_000 and (part := numbers.recv(1 << 16)):
            count += len(part)
    child.stop()
    checked, longest = 0, 0
    for frame in frames(dump):
        if frame[12:14] != b"\x08\x00" or frame[26:30] != socket.inet_aton("10.0.2.15"):
            continue
        packet = frame[14 : 14 + struct.unpack_from(">H", frame, 16)[0]]
        header = 4 * (packet[0] & 15)
        assert ones_sum(packet[:header]) == 0xFFFF, packet[:header].hex()
        if packet[9] in (6, 17):
            body = packet[header:]
            pseudo = packet[12:20] + struct.pack(">HH", packet[9], len(body))
            unsummed = packet[9] == 17 and body[6:8] == b"\0\0"
            assert unsummed or ones_sum(pseudo + body) == 0xFFFF, packet[:60].hex()
        checked += 1
        longest = max(longest, len(frame))
    assert checked > 1000 and 1400 < longest <= 1514, (checked, longest)


def check_link(context, card, machine):
    tap, qmp = context.tap(), context.path("qmp")
    options = ["--qemu-arg=-qmp", f"--qemu-arg=unix:{qmp},server=on,wait=off"]
    child = start(context, card, machine, options, tap=tap)
    work(context, tap, child)
    monitor = Monitor(qmp)
    for _ in range(2):
        monitor.ask("set_link", name="net0", up=False)
        request = ("curl", "-fsS", "--max-time", "1", f"http://{tap.guest}/")
        assert context.run(*request, check=False).returncode != 0, "without a link"
        monitor.ask("set_link", name="net0", up=True)
        work(context, tap, child)


def check_shared(context, card, machine):
    tap = context.tap()
    options = []
    for number in range(4):
        options += ["--qemu-arg=-netdev", f"--qemu-arg=user,id=other{number},restrict=on"]
        options += ["--qemu-arg=-device", f"--qemu-arg={card},netdev=other{number},romfile="]
    child = start(context, card, machine, options, tap=tap)
    work(context, tap, child)
    child.stop()


def register():
    kinds = (
        ("", check, "Echoes, bulk data and HTTP over this card, with each offload disabled."),
        ("-sums", check_sums, "Frames of this card have right checksums and the link's size."),
        ("-link", check_link, "The network works after the card's link was down."),
    )
    # Firmware gives two inputs to all functions, and this card has no messages.
    shows = "Five cards work whose interrupt lines are inputs that they share."
    for machine in MACHINES:
        test(f"e1000-{machine}-shared", limit=120, shows=shows)(
            lambda context, machine=machine: check_shared(context, "e1000", machine)
        )
    for card in CARDS:
        for machine in MACHINES:
            for suffix, function, shows in kinds:
                test(f"{card}-{machine}{suffix}", limit=120, shows=shows)(
                    lambda context, card=card, machine=machine, function=function: function(
                        context, card, machine
                    )
                )


register()
