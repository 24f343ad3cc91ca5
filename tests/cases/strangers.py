"""What strangers make a server hold by compression, calls, HTTP/2 and a proxy: a process in a
control group isn't killed, and an image continues; an honest client is answered meanwhile, and the
memory returns."""

import gzip
import os
import re
import struct

from harness import http2
from harness.cgroup import MemoryLimit
from harness.context import MACHINES, ROOT, SOCKETS, command, forms_of
from harness.runner import test

from cases.memory import HOST, attack, honest, in_use, returned, timed
from cases.memory import WAYS as HELD_WAYS

PROGRAM = "tests/programs/grpc/strangers.exe"
WEB, PROXY = 8000, 8001
STREAMS = 100
CALL = [("content-type", "application/grpc"), ("te", "trailers")]
GZIP = [("accept-encoding", "gzip")]


def message(payload, flag=0):
    return struct.pack(">BI", flag, len(payload)) + payload


def frames(*streams, window=None):
    """A connection of HTTP/2 with these streams: functions from the number of one to its frames."""
    settings = [] if window is None else [(http2.INITIAL_WINDOW, window)]
    numbers = range(1, 2 * len(streams), 2)
    sent = [stream(number) for number, stream in zip(numbers, streams, strict=True)]
    return http2.PREFACE + http2.settings(*settings) + b"".join(sent)


def call(method, body, fields=(), last=True):
    """A call with this body, whose end comes if it is `last`."""

    def stream(number):
        head = http2.post(number, f"/test.Strangers/{method}", fields=[*CALL, *fields])
        pieces = [body[at : at + 16384] for at in range(0, len(body), 16384)]
        ends = [http2.END_STREAM if last and piece is pieces[-1] else 0 for piece in pieces]
        return head + b"".join(
            http2.frame(http2.DATA, end, number, piece)
            for end, piece in zip(ends, pieces, strict=True)
        )

    return stream


BOMB = message(gzip.compress(bytes(4 << 20), 9), 1)
# Within the windows of a connection, 1 MiB, and of its streams, 256 KiB.
EMPTY = message(10_000 * gzip.compress(b""), 1)
COMPRESSED = [("grpc-encoding", "gzip")]
TEXT = message(b"1000000")


def page(number):
    return http2.get(number, "/page", fields=GZIP)


def answers(method):
    """Calls whose answers of 1 MB the client has no window for."""
    return frames(*[call(method, TEXT)] * STREAMS, window=0)


# Ways to make a program hold memory: the port, what each connection sends, and whether it reads.
WAYS = {
    "bombs": (WEB, frames(*[call("Size", BOMB, COMPRESSED)] * STREAMS), True),
    "bombs-of-streams": (
        WEB,
        frames(*[call("Sizes", 5 * BOMB, COMPRESSED, last=False)] * (STREAMS // 3)),
        True,
    ),
    "empty-files": (WEB, frames(*[call("Size", EMPTY, COMPRESSED)] * 4), True),
    "unary-answers": (WEB, answers("Text"), True),
    "answers-to-streams": (WEB, answers("Last"), True),
    "streams-of-answers": (WEB, answers("Texts"), True),
    "two-way-answers": (WEB, answers("Echo"), True),
    "pages": (WEB, frames(*[page] * STREAMS), True),
    "untaken-pages": (WEB, frames(*[page] * STREAMS, window=0), True),
    "pages-of-http1": (
        WEB,
        b"GET /page HTTP/1.1\r\nAccept-Encoding: gzip\r\n" + HOST + b"\r\n",
        False,
    ),
    "proxied": (PROXY, b"GET / HTTP/1.1\r\n" + HOST + b"\r\n", False),
    "proxied-streams": (PROXY, frames(*[http2.get] * STREAMS, window=0), True),
}


def sources(form, number):
    """Addresses of the strangers: one, or several."""
    several = form == SOCKETS and number > 1
    return [f"127.0.0.{2 + host}" for host in range(16)] if several else None


def one_way(tap, form, way, megabytes, number, before):
    port, text, reads = WAYS[way]
    peers = attack(tap, port, text, reads, number, sources(form, number))
    tries = [timed(f"{way}: during", honest, tap)[0] for _ in range(3)]
    for peer in peers:
        peer.close()
    tries.append(timed(f"{way}: after", honest, tap)[0])
    # A process gives memory back once it has more than half of its limit. Tables stay as large as
    # the greatest number of tasks made them.
    kept = 1 / 2 if form == SOCKETS else 3 / 8
    tables = (2 << 20) + (megabytes << 20) // 64
    timed(f"{way}: returned", returned, tap, megabytes, before, kept, tables)
    return max(tries)


def held(context, form, ways, megabytes, numbers):
    tap = context.tap(form)
    if form == SOCKETS:
        group = context.enter(MemoryLimit(megabytes << 20))
        child = context.child([*group.prefix, *command(PROGRAM, form)])
    else:
        child = context.soil(PROGRAM, form, tap=tap, options=["--mem", f"{megabytes}M"])
    child.wait_line("ready")
    before = in_use(tap)
    tries = [
        one_way(tap, form, way, megabytes, number, before) for number in numbers for way in ways
    ]
    child.drain(0.05)
    for word in ("Fatal", "panic", "allocation"):
        assert word not in child.text, child.text
    assert child.process.poll() is None, f"the server has ended: {child.process.poll()}"
    context.bound("tries of honest clients", max(tries), 20)


@test()
def ways_of_memory(_):
    """Each way in the table of docs/http.md names tests that exist."""
    with open(f"{ROOT}/docs/http.md", encoding="utf-8") as file:
        table = file.read().partition("| way | counted | shown by |\n")[2].partition("\n\n")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines()[1:]]
    assert rows, "no table"
    named = set()
    for way, _, shown in rows:
        names = re.findall("`([^`]+)`", shown)
        assert names, f"no test:{way}"
        named.update(names)
    tests = {f"held-{way}" for way in HELD_WAYS} | {f"strangers-{way}" for way in WAYS}
    for name in named - tests:
        assert os.path.exists(f"{ROOT}/{name}"), f"docs/http.md: no test {name}"
    missing = {f"strangers-{way}" for way in WAYS} - named
    assert not missing, f"docs/http.md doesn't name {missing}"


SHORT = ("bombs", "unary-answers", "pages", "proxied")

for form in forms_of(SOCKETS):

    @test(name=f"strangers-of-a-process-{form}", limit=240)
    def strangers_of_a_process(context, form=form):
        """A process in a control group of 192 MiB refuses requests, and isn't killed."""
        held(context, form, SHORT, 192, (100,))

    for way in WAYS:
        for megabytes in (64, 192, 512):

            @test(name=f"strangers-{way}-{form}-{megabytes}", limit=600, long=True)
            def strangers_of_a_limited_process(context, form=form, way=way, megabytes=megabytes):
                """One stranger, 100 and 1000, from several addresses."""
                held(context, form, (way,), megabytes, (1, 100, 1000))


for form in MACHINES[:1]:

    @test(name=f"strangers-of-an-image-{form}", limit=240)
    def strangers_of_an_image(context, form=form):
        """An image with 64 MiB."""
        held(context, form, SHORT, 64, (10,))

    for way in WAYS:
        for megabytes in (32, 64):

            @test(name=f"strangers-{way}-{form}-{megabytes}", limit=600, long=True)
            def strangers_of_a_small_image(context, form=form, way=way, megabytes=megabytes):
                """One stranger and 100."""
                held(context, form, (way,), megabytes, (1, 100))
