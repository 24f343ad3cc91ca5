"""A program that has exhausted its memory continues, while peers fill every queue."""

import resource
import select
import socket
import struct
import time

from harness.console import PATIENCE
from harness.context import MACHINES
from harness.runner import test

PROGRAM = "tests/programs/soil/memory_full.exe"
MEMORY = "64M"
CONNECTIONS = 2000
DATAGRAMS = 300
CHUNK = b"x" * 65536


def control(tap, word):
    """The program's answer to a command."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.connect((tap.guest, 9))
        peer.settimeout(1)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                peer.send(word.encode())
                return peer.recv(100).decode()
            except (TimeoutError, ConnectionRefusedError):
                pass
    raise AssertionError(f"no answer to {word!r}")


def connections(tap):
    """Opens many connections, and fills each one. Some are established on this side only: the guest
    ignored the last segment of their handshake."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    peers = []
    for number in range(CONNECTIONS):
        peer = socket.socket()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.setblocking(False)
        peer.connect_ex((tap.guest, 7))
        peers.append(peer)
        if number % 50 == 49:
            give(peers, 0.05)
    give(peers, 3)
    return peers


def give(peers, seconds):
    poll = select.poll()
    by_number = {peer.fileno(): peer for peer in peers}
    for number in by_number:
        poll.register(number, select.POLLOUT)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for number, event in poll.poll(20):
            if event & (select.POLLERR | select.POLLHUP):
                poll.unregister(number)
                continue
            try:
                by_number[number].send(CHUNK)
            except OSError:
                pass


def datagrams(tap):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for number in range(DATAGRAMS):
            for size in (60_000, 1000, 1):
                try:
                    peer.sendto(CHUNK[:size], (tap.guest, 8))
                except OSError:
                    time.sleep(0.01)


for machine in MACHINES:

    @test(name=f"a-flood-of-a-full-machine-{machine}", limit=120)
    def a_flood_of_a_full_machine(context, form=machine):
        """The program refuses connections and continues, and accepts them again once it has
        memory."""
        tap = context.tap()
        child = context.soil(PROGRAM, form, tap=tap, options=["--mem", MEMORY])
        child.wait_line("full")
        peers = connections(tap)
        until = time.monotonic() + PATIENCE
        while True:
            for _ in range(3):
                datagrams(tap)
                control(tap, "alive")
            answer = control(tap, "bind")
            if answer == "refused" or time.monotonic() > until:
                break
            # A machine that wasn't scheduled meanwhile has used little of it.
            give(peers, 1)
        assert answer == "refused", "the flood was too small"
        for peer in peers:
            peer.close()
        control(tap, "free")
        assert control(tap, "bind") == "bind"
        with socket.create_connection((tap.guest, 7), timeout=PATIENCE) as peer:
            # The first accepted connection may be one of the flood, already closed.
            peer.settimeout(PATIENCE)
            for _ in range(CONNECTIONS):
                control(tap, "accept")
                peer.settimeout(0.05)
                try:
                    assert peer.recv(100) == b"served\n"
                    break
                except TimeoutError:
                    pass
            else:
                raise AssertionError("never served")
        for word in ("Fatal", "panic", "allocation of"):
            child.drain(0.05)
            assert word not in child.text, child.text
