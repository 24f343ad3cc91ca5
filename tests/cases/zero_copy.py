"""Soil.Zero_copy against Linux's TCP: leases of received bytes, buffers lent until they are
acknowledged."""

import os
import socket
import struct
import sys
import time

from cases.network import in_every_form
from harness.console import PATIENCE
from harness.context import ROOT, clean
from harness.relay import BadLink

PROGRAM = "tests/programs/soil/zero_copy.exe"
STREAM = os.path.join(ROOT, "tests", "peers", "stream.py")


def start(context, form):
    tap = context.tap()
    child = context.soil(PROGRAM, form, tap=tap)
    child.wait_line("ready")
    return child, tap


def pattern(count):
    return bytes(i * 7 % 251 for i in range(count))


def command(tap, text):
    peer = socket.create_connection((tap.guest, 8), timeout=PATIENCE)
    peer.sendall(text.encode() + b"\n")
    return peer


def rest(peer):
    data = b""
    while piece := peer.recv(65536):
        data += piece
    return data


@in_every_form()
def bulk(context, form):
    """8 MB by leases in and by lent buffers out, which are overwritten as soon as they return."""
    child, tap = start(context, form)
    context.run(sys.executable, STREAM, tap.guest, 7, 8_000_000)
    context.run(sys.executable, STREAM, tap.guest, 7, 1)
    assert "xception" not in child.text, clean(child.text)


@in_every_form(limit=120, forms=("process", "microvm"))
def losses(context, form):
    """3 % of loss, reordering, duplicates: retransmissions use the lent buffer."""
    child, tap = start(context, form)
    link = BadLink(
        context, tap, "delay=5", "loss=30000", "duplicate=10000", "reorder=20000", "reorder-delay=3"
    )  # fmt: skip
    peers = [
        context.child([*link.inside, sys.executable, STREAM, tap.guest, "7", "1500000"])
        for _ in range(2)
    ]
    for peer in peers:
        assert peer.finish(context.remaining()) == 0, f"{peer.text}\n{link.statistics()}"
    assert "xception" not in child.text, clean(child.text)


@in_every_form()
def kept_parts(context, form):
    """Parts of leases that the program keeps are never overwritten; forgotten leases return."""
    _, tap = start(context, form)
    for words, expected in (
        ("forget", b"256 leases forgotten, all came back\n"),
        ("keep 20", b"20 parts kept, all the same\n"),
    ):
        with command(tap, words) as peer:
            data = pattern(65536)
            answer = b""
            peer.settimeout(0.01)
            until = time.monotonic() + PATIENCE
            while not answer and time.monotonic() < until:
                # In segments, of which each may be a lease.
                try:
                    peer.send(data)
                except (TimeoutError, OSError):
                    pass
                try:
                    answer = peer.recv(100)
                except TimeoutError:
                    pass
            assert answer == expected, answer


@in_every_form()
def taken_back(context, form):
    """Cancelled while the peer reads nothing: the buffer returns at once, and the data sent before
    arrives intact."""
    child, tap = start(context, form)
    for count in (100_000, 20_000_000):
        with socket.socket() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.settimeout(PATIENCE)
            peer.connect((tap.guest, 8))
            peer.sendall(f"cancel {count} 0.5\n".encode())
            child.wait_line("cancel: ", after=len(child.lines))
            data = rest(peer)
            assert 0 < len(data) <= count and data == pattern(count)[: len(data)], len(data)
            assert count > 1_000_000 or len(data) == count, len(data)
    assert clean(child.text).count("cancel: timed out") == 2, clean(child.text)


@in_every_form()
def given_back(context, form):
    """A reset of the peer, and a close by another task, return the buffer and report the cause."""
    child, tap = start(context, form)
    peer = command(tap, "reset 5000000")
    peer.recv(1000)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    child.wait_line("reset: connection reset")
    with command(tap, "close 40000000") as peer:
        child.wait_line("close: ")
    assert "close: descriptor is closed" in clean(child.text), clean(child.text)
    context.run(sys.executable, STREAM, tap.guest, 7, 300_000)
