"""A program that has exhausted its memory continues, while peers fill every queue; and peers can't
exhaust it by what they make a program hold."""

import base64
import re
import resource
import select
import socket
import struct
import time

from harness.console import PATIENCE
from harness.context import MACHINES
from harness.runner import test

from cases.services import authority, folder_of

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


HELD = "tests/programs/http/held.exe"
WEB, TLS, RESP, DNS, LINES = 8000, 8443, 6379, 5353, 7000
HOST = b"Host: a\r\n"
FIELDS = b"".join(b"X-%d: " % n + b"b" * 150 + b"\r\n" for n in range(96))
KEY = base64.b64encode(bytes(16))
UPGRADE = (
    b"GET /ws HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n"
)
FRAME = struct.pack("!BBQ", 0x82, 0xFF, 1 << 20) + b"abcd" + b"x" * 1_048_000
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
PARTS = b"Content-Type: multipart/form-data; boundary=b\r\n"
GET_X = b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n"
GET_TEXT = b"GET /text HTTP/1.1\r\n" + HOST + b"\r\n"
PART = b'--b\r\nContent-Disposition: form-data; name="%d"\r\n\r\n'


def post(path, length, fields=b"", body=b""):
    head = b"POST %s HTTP/1.1\r\nContent-Length: %d\r\n" % (path, length)
    return head + HOST + fields + b"\r\n" + body


# Ways to make a program hold memory: the port, what each connection sends, and whether it reads
# answers. Nothing of it breaks a limit of one connection.
WAYS = {
    "heads": (WEB, b"GET /x HTTP/1.1\r\n" + HOST + FIELDS, True),
    "posts": (WEB, post(b"/up", 1_000_000, FIELDS), True),
    "uploads": (WEB, post(b"/up", 1 << 20, body=b"x" * 1_048_000), True),
    "chunks": (
        WEB,
        b"POST /up HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
        b"ffff0\r\n" + b"x" * 1_048_000,
        True,
    ),
    "whole-uploads": (WEB, post(b"/up", 1 << 20, body=b"x" * (1 << 20)), True),
    "frames": (WEB, UPGRADE + FRAME, True),
    "responses": (WEB, b"GET /big HTTP/1.1\r\n" + HOST + b"\r\n", False),
    "forms": (WEB, post(b"/form", 1 << 20, FORM, b"a=" + b"x" * 1_048_000), True),
    "parts": (
        WEB,
        post(
            b"/form",
            1 << 20,
            PARTS,
            b"\r\n".join(PART % n + b"x" * 60_000 for n in range(17)),
        ),
        True,
    ),
    "values": (
        RESP,
        b"*3\r\n$3\r\nSET\r\n$300000\r\n" + b"x" * 300_000 + b"\r\n$1048576\r\n" + b"x" * 1_048_000,
        True,
    ),
    "messages": (DNS, b"\xff\xff" + b"x" * 65_000, True),
    "idle": (WEB, GET_X, True),
    "texts": (WEB, GET_TEXT, False),
    "pipelined": (WEB, 100 * GET_TEXT, False),
    "handshakes": (TLS, b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03" + bytes(16_000), True),
    "websockets": (WEB, UPGRADE, True),
    "lines": (LINES, b"a line\n", True),
}


def attack(tap, port, text, reads, number, sources=None):
    """That many connections, each of which has sent as much of `text` as the program takes, from
    these addresses in turn."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    poll = select.poll()
    peers, sent = {}, {}

    def give(seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for file, event in poll.poll(20):
                peer = peers[file]
                try:
                    if event & select.POLLOUT:
                        sent[file] += peer.send(text[sent[file] : sent[file] + 65536])
                    if event & select.POLLIN and not peer.recv(65536):
                        event = select.POLLHUP
                except BlockingIOError:
                    pass
                except OSError:
                    event = select.POLLHUP
                if event & (select.POLLERR | select.POLLHUP):
                    poll.unregister(file)
                elif sent[file] == len(text):
                    poll.modify(file, select.POLLIN if reads else 0)

    for count in range(number):
        peer = socket.socket()
        if not reads:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        if sources:
            peer.bind((sources[count % len(sources)], 0))
        peer.setblocking(False)
        peer.connect_ex((tap.guest, port))
        peers[peer.fileno()], sent[peer.fileno()] = peer, 0
        poll.register(peer, select.POLLOUT | (select.POLLIN if reads else 0))
        if count % 50 == 49:
            give(0.1)
    give(3)
    return list(peers.values())


GET = b"GET /x HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"


def honest(tap, request=GET, expected=b"here"):
    """An honest client is answered, at once or when it tries again; returns the number of tries and
    the answer."""
    tries = 0
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        tries += 1
        try:
            with socket.create_connection((tap.guest, WEB), timeout=10) as peer:
                peer.sendall(request)
                answer = b""
                while piece := peer.recv(4096):
                    answer += piece
            head, _, body = answer.partition(b"\r\n\r\n")
            if head.startswith(b"HTTP/1.1 200 ") and re.fullmatch(expected + b"\n", body):
                return tries, body
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"an honest client wasn't answered, after {tries} tries")


def in_use(tap):
    """What the program says of its memory after a complete collection: bytes held for peers, bytes
    in TCP's buffers, TCP's connections, bytes of OCaml's heap, bytes that aren't free."""
    path = GET.replace(b"/x", b"/memory")
    _, body = honest(tap, path, rb"\d+ \d+ \d+ \d+ \d+")
    return [int(word) for word in body.split()]


# How much more may be in use after an attack than before: by connections of honest clients that are
# closing. The last bytes are pages that Rust's heap keeps once it had them (TCP's buffers were
# there, a quarter of the memory), and blocks that malloc keeps for the next allocations (an
# eighth).
MORE = (64 << 10, 64 << 10, 8, 1 << 20, 1 << 20)


# Seconds for which a closed connection waits for its peer's end.
FIN_WAIT_2 = 60


def returned(tap, megabytes, before, kept=3 / 8, heap=MORE[3]):
    """The memory of an attack returns, but for a part of the machine's that heaps may keep, and
    `heap` bytes of OCaml's own."""
    until = time.monotonic() + PATIENCE + FIN_WAIT_2
    while True:
        now = in_use(tap)
        more = [after - earlier for after, earlier in zip(now, before, strict=True)]
        most = [*MORE[:3], heap, MORE[4] + int((megabytes << 20) * kept)]
        if all(amount <= limit for amount, limit in zip(more, most, strict=True)):
            return
        assert time.monotonic() < until, f"before {before}, after {now}"
        time.sleep(0.5)


def timed(what, f, *arguments):
    """`f`'s result; its time is in the report."""
    started = time.monotonic()
    result = f(*arguments)
    print(f"{what}: {time.monotonic() - started:.1f} s")
    return result


def held(context, form, way, megabytes, number):
    port, text, reads = WAYS[way]
    inside, options = (), []
    if port == TLS:
        folder, options = folder_of(context, form, authority(context, "soil.test"))
        inside = (folder,)
    tap = context.tap()
    options += ["--mem", f"{megabytes}M"]
    child = context.soil(HELD, form, *inside, tap=tap, options=options)
    child.wait_line("ready")
    before = in_use(tap)
    peers = attack(tap, port, text, reads, number)
    tries = [timed("during", honest, tap)[0] for _ in range(3)]
    for peer in peers:
        peer.close()
    tries.append(timed("after", honest, tap)[0])
    # All memory is there again: also a large request is answered.
    body = b"x" * 500_000
    large = post(b"/up", len(body), b"Connection: close\r\n", body)
    tries.append(timed("large", honest, tap, large, b"500000")[0])
    timed("returned", returned, tap, megabytes, before)
    child.drain(0.05)
    for word in ("Fatal", "panic", "allocation"):
        assert word not in child.text, child.text
    context.bound("tries of honest clients", max(tries), 20)


def numbers(way, megabytes):
    """Connections of a way: several times what the machine has memory for, or the program takes."""
    size = max(len(WAYS[way][1]), 20_000)
    return min(5000 if megabytes > 64 else 2000, 100 + 2 * megabytes * (1 << 20) // size)


SHORT = {("heads", 64), ("posts", 64), ("uploads", 64), ("texts", 32), ("idle", 32)}

for way in WAYS:
    for megabytes in (32, 64, 256):
        long = (way, megabytes) not in SHORT

        @test(name=f"held-{way}-{megabytes}", limit=240, long=long)
        def what_peers_make_a_program_hold(context, way=way, megabytes=megabytes):
            """A machine with many connections, none of which breaks a limit, continues, answers an
            honest client meanwhile, and has its memory again afterwards."""
            held(context, MACHINES[0], way, megabytes, numbers(way, megabytes))
