"""HTTP/2: other implementations as peers of the server and of the client, and the published
attacks, each of which ends the attacker's connection and no honest client's."""

import collections
import itertools
import os
import shutil
import struct
import threading
import time

from cases.network import in_every_form
from cases.services import MEGABYTE, authority, folder_of, secure_server
from harness.console import PATIENCE
from harness.context import FORMS, ROOT, Skip, outcome
from harness.http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    HEADERS,
    INITIAL_WINDOW,
    PADDED,
    PING,
    PRIORITY,
    PRIORITY_UPDATE,
    SETTINGS,
    Connection,
    Cut,
    field,
    frame,
    get,
    post,
    request,
    reset,
    settings,
    window_update,
)
from harness.runner import test

PROGRAMS = "tests/programs/http/"
TWO_FORMS = FORMS[:2]

# Floods: what a connection sends, again and again, until the server ends it.
FLOODS = {}


def flood(function):
    FLOODS[function.__name__] = function
    return function


def forever(make):
    """A flood of `make(c)`, which may begin new streams of the connection `c`."""

    def pieces(c):
        while True:
            yield make(c, c.stream())

    pieces.__name__, pieces.__doc__ = make.__name__, make.__doc__
    return flood(pieces)


@forever
def rapid_reset(c, s):
    """Requests that are cancelled at once (CVE-2023-44487)."""
    return get(s, "/wait") + reset(s)


@forever
def made_by_increment_0(c, s):
    """Requests whose streams the server has to reset (CVE-2025-8671): a window update of 0,"""
    return post(s, "/wait") + window_update(s, 0)


@forever
def made_by_overflow(c, s):
    """a window beyond 2^31 - 1,"""
    return post(s, "/wait") + window_update(s, 2**31 - 1)


@forever
def made_by_data_after_end(c, s):
    """DATA after the end of the request,"""
    return get(s, "/wait") + frame(DATA, 0, s, b"x")


@forever
def made_by_headers_after_end(c, s):
    """fields after it,"""
    return get(s, "/wait") + frame(HEADERS, END_HEADERS | END_STREAM, s, field("a", "b"))


@forever
def made_by_self_dependency(c, s):
    """a priority that depends on itself,"""
    return post(s, "/wait") + frame(PRIORITY, 0, s, struct.pack(">IB", s, 0))


@forever
def made_by_priority_size(c, s):
    """a priority of 4 bytes,"""
    return post(s, "/wait") + frame(PRIORITY, 0, s, bytes(4))


@forever
def made_by_length(c, s):
    """more bytes than the Content-Length,"""
    head = post(s, "/wait", fields=[("content-length", "1")])
    return head + frame(DATA, 0, s, b"xx")


@forever
def made_by_field(c, s):
    """a name in capitals,"""
    return get(s, fields=[("A", "b")])


@forever
def made_by_no_fields(c, s):
    """no fields at all."""
    return frame(HEADERS, END_HEADERS | END_STREAM, s)


@flood
def continuations(c):
    """One request whose fields never end (CVE-2024-27316 and others): 16 KiB at a time,"""
    yield frame(HEADERS, END_STREAM, c.stream(), request())
    block = field("a" * 7, "b" * 1000) * 16
    while True:
        yield frame(CONTINUATION, 0, 1, block)


@flood
def small_continuations(c):
    """a byte at a time,"""
    yield frame(HEADERS, END_STREAM, c.stream(), request())
    for byte in itertools.cycle(field("a", "b")):
        yield frame(CONTINUATION, 0, 1, bytes([byte]))


@flood
def empty_continuations(c):
    """and nothing at a time."""
    yield frame(HEADERS, END_STREAM, c.stream(), request())
    while True:
        yield frame(CONTINUATION, 0, 1)


@flood
def bomb_of_one_entry(c):
    """One entry of 4,000 bytes in the table, named 16,000 times in each request (CVE-2026-49975,
    CVE-2016-6581);"""
    large = request(fields=[]) + field("a", "b" * 3900, 0x40)
    yield frame(HEADERS, END_HEADERS | END_STREAM, c.stream(), large)
    while True:
        block = request() + b"\xbe" * 16000
        yield frame(HEADERS, END_HEADERS | END_STREAM, c.stream(), block)


@flood
def bomb_of_crumbs(c):
    """cookies of one byte, which a server joins."""
    yield frame(
        HEADERS, END_HEADERS | END_STREAM, c.stream(), request() + field("cookie", "a", 0x40)
    )
    while True:
        block = request() + b"\xbe" * 16000
        yield frame(HEADERS, END_HEADERS | END_STREAM, c.stream(), block)


@forever
def refused(c, s):
    """More requests than may be open at a time, which each cost a refusal."""
    return post(s, "/wait")


@flood
def open_and_close(c):
    """Settings that each demand an acknowledgement (CVE-2019-9515):"""
    while True:
        yield settings()


@flood
def windows_of_streams(c):
    """those that change the windows of all streams,"""
    for _ in range(50):
        yield get(c.stream(), "/wait")
    while True:
        yield settings(*[(INITIAL_WINDOW, n) for n in (0, 65535)] * 1300)


@flood
def acknowledgements(c):
    """acknowledgements of settings that weren't sent."""
    while True:
        yield frame(SETTINGS, ACK)


@flood
def pings(c):
    """Pings (CVE-2019-9512)."""
    while True:
        yield frame(PING, 0, 0, bytes(8))


@flood
def pongs(c):
    """Answers to no ping."""
    while True:
        yield frame(PING, ACK, 0, bytes(8))


@flood
def empty_data(c):
    """DATA without bytes (CVE-2019-9518),"""
    s = c.stream()
    yield post(s, "/wait")
    while True:
        yield frame(DATA, 0, s)


@flood
def padding(c):
    """and with padding only."""
    s = c.stream()
    yield post(s, "/wait")
    while True:
        yield frame(DATA, PADDED, s, b"\1\0")


@forever
def priorities(c, s):
    """Priorities of streams that never begin (CVE-2019-9513),"""
    return frame(PRIORITY, 0, s, struct.pack(">IB", 0, 7))


@forever
def priority_updates(c, s):
    """and those of RFC 9218."""
    return frame(PRIORITY_UPDATE, 0, 0, struct.pack(">I", s) + b"u=1, i")


@flood
def window_updates(c):
    """A window that grows by one byte at a time."""
    while True:
        yield window_update(0, 1)


@flood
def dribble(c):
    """A response that comes by one byte at a time (CVE-2019-9511)."""
    yield settings((INITIAL_WINDOW, 0))
    yield get(c.stream(), "/large")
    while True:
        yield window_update(1, 1)


@flood
def unknown_frames(c):
    """Frames of an unknown kind, which a server ignores."""
    while True:
        yield frame(0x42, 0, 0, bytes(100))


@flood
def resets_of_ended(c):
    """RST_STREAM for a stream that has ended."""
    c.get("/")
    while True:
        yield reset(1)


# What attackers let a connection hold for as long as they can.
STATES = {}


def state(function):
    STATES[function.__name__] = function
    return function


@state
def idle(c):
    """Nothing."""


@state
def full_table(c):
    """A table with as many fields as fit."""
    block = request() + field("a", "b", 0x40) * 120
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, c.stream(), block))


@state
def thirteen_handlers(c):
    """Requests whose handlers wait; each takes some 3 KiB."""
    for _ in range(13):
        c.send(get(c.stream(), "/wait"))


@state
def unfinished_fields(c):
    """A request without the end of its fields."""
    c.send(frame(HEADERS, END_STREAM, c.stream(), request()))
    for _ in range(3):
        c.send(frame(CONTINUATION, 0, 1, field("a", "b" * 2500)))


@state
def closed_windows(c):
    """Responses that the client doesn't let come."""
    c.send(settings((INITIAL_WINDOW, 0)))
    for _ in range(13):
        c.send(get(c.stream(), "/page"))


@state
def priorities_of_idle_streams(c):
    """Priorities of streams that haven't begun."""
    for n in range(100):
        c.send(frame(PRIORITY_UPDATE, 0, 0, struct.pack(">I", 2 * n + 1) + b"u=1, i"))


def server(context, form, *options):
    folder = authority(context, "soil.test")
    child, host = secure_server(context, form, f"{PROGRAMS}http2_server.exe", folder, *options)
    return child, host, folder


class Honest(threading.Thread):
    """A client that asks for a page again and again, on one connection."""

    def __init__(self, host):
        super().__init__(daemon=True)
        self.host, self.served, self.wrong, self.ends = host, 0, None, threading.Event()
        self.start()

    def run(self):
        try:
            c = Connection(self.host)
            while not self.ends.is_set():
                answer = c.get(f"/{self.served}")
                assert answer == (200, b"/%d\n" % self.served), answer
                self.served += 1
            c.close()
        except (AssertionError, Cut, OSError) as problem:
            self.wrong = f"{problem!r} {c.goaway}"

    def more(self, count):
        """Waits for that many further answers."""
        wanted, until = self.served + count, time.monotonic() + PATIENCE
        while self.served < wanted:
            assert self.wrong is None and time.monotonic() < until, self.wrong
            time.sleep(0.01)

    def end(self):
        self.ends.set()
        self.join()
        assert self.wrong is None, self.wrong


def attacked(host, pieces, most):
    """Sends `pieces(c)` on a new connection: (number of pieces, bytes) after which the server has
    ended it, and the error in its GOAWAY."""
    c, count, size = Connection(host), 0, 0
    try:
        c.wait(lambda: c.frames)
        for piece in pieces(c):
            assert count < most, f"{pieces.__name__}: still served after {count} pieces"
            c.send(piece)
            count, size = count + 1, size + len(piece)
    except Cut:
        return count, size, c.goaway
    finally:
        c.close()
    raise AssertionError


@in_every_form(limit=180, forms=TWO_FORMS)
def http2_floods(context, form):
    """The published attacks: the server ends each one's connection by ENHANCE_YOUR_CALM, and
    answers an honest client meanwhile; afterwards it holds what it held before."""
    child, host, _ = server(context, form)
    honest = Honest(host)
    honest.more(1)
    before = memory(host)
    for name, pieces in FLOODS.items():
        count, size, error = attacked(host, pieces, 20_000)
        print(f"{name}: {count} pieces, {size} bytes, error {error}")
        # Where the client sends on, its TCP may lose what the server said last.
        assert error in (ENHANCE_YOUR_CALM, None), (name, error)
        honest.more(2)
    honest.end()
    until = time.monotonic() + PATIENCE
    while (after := memory(host)).peers > before.peers - 1:
        assert time.monotonic() < until, (before, after)
    assert after.live < before.live + 100_000, (before, after)
    assert "exception" not in child.text, child.text


Memory = collections.namedtuple("Memory", "live held peers")


def memory(host):
    """The bytes of the program's values, those of its budget for peers, and its peers."""
    c = Connection(host)
    _, body = c.get("/memory")
    c.close()
    return Memory(*map(int, body.split()))


@in_every_form(limit=120, forms=TWO_FORMS)
def http2_memory_of_a_connection(context, form):
    """A connection takes at most 64 KiB beside bodies, where it has 13 requests at a time or none;
    all is given back."""
    _, host, _ = server(context, form)
    count, first = 50, memory(host)
    for turn in range(2):
        for name, function in STATES.items():
            before = memory(host)
            clients = [Connection(host) for _ in range(count)]
            for c in clients:
                c.wait(lambda c=c: c.frames)
                function(c)
            # Each answer comes after what has arrived before.
            after = max(memory(host) for _ in range(4))
            assert after.peers >= before.peers + count, (name, before, after)
            each = (after.live - before.live) // count
            print(f"{name}: {each} bytes")
            assert each <= 65536, (name, each)
            for c in clients:
                c.close()
            until = time.monotonic() + PATIENCE
            while memory(host).peers > first.peers:
                assert time.monotonic() < until, name
        # The scheduler's tables have their size after the first time.
        if turn == 0:
            first = memory(host)
    after = memory(host)
    assert after.live < first.live + 20_000, (first, after)


@test(limit=1800, long=True)
def http2_damaged_frames(context):
    """A million connections with damaged bytes end by errors of HTTP/2, and hold what they may."""
    program = os.path.join(ROOT, "_build/default/packages/soil-http/test/http2/main.exe")
    context.run("env", "HTTP2_CONNECTIONS=500000", program, cwd=context.directory)


# Other implementations


def has(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def go(context):
    """tests/peers/http2.go as a program."""
    if not has("go"):
        raise Skip("Go is not installed; run: apt-get install golang-go")
    program = context.path("http2")
    context.run(
        *("env", f"GOCACHE={context.path('go')}", "GO111MODULE=off", "CGO_ENABLED=0"),
        *("go", "build", "-o", program, os.path.join(ROOT, "tests", "peers", "http2.go")),
    )
    return program


@in_every_form(forms=TWO_FORMS)
def http2_curl(context, form):
    """curl, by prior knowledge and by ALPN: a hundred pages at once, a megabyte each way, trailers,
    103, and HTTP/1.1 on the same ports."""
    _, host, folder = server(context, form)
    large, got = context.path("large"), context.path("got")
    with open(large, "wb") as file:
        file.write(MEGABYTE)
    secure = [
        "--http2",
        "--cacert",
        f"{folder}/authority.pem",
        "--resolve",
        f"soil.test:8443:{host}",
    ]
    for words, url in (
        (["--http2-prior-knowledge"], f"http://{host}:8000"),
        (secure, "https://soil.test:8443"),
    ):
        curl = ["curl", "-sS", "-w", "%{http_version} %{http_code}", *words]
        assert context.run(*curl, f"{url}/pieces").stdout == "one after another\n2 200"
        context.run(*curl, "-o", got, "--data-binary", f"@{large}", f"{url}/capitals")
        with open(got, "rb") as file:
            assert file.read() == MEGABYTE.upper()
        # curl 7.88 reuses no connection that it has by prior knowledge, of nghttpd neither.
        if "--http2" in words:
            words = ["-Z", "--parallel-max", "100", f"{url}/page/[1-100]"]
            pages = context.run(*curl, *words).stdout
            assert pages.count("2 200") == 100, pages
            assert all(f"/page/{number}\n" in pages for number in range(1, 101)), pages
        heads = context.run(*curl, "-D", "-", f"{url}/trailers").stdout
        assert heads.endswith("\n\none two\nsum: 3\n2 200"), repr(heads)
        heads = context.run(*curl, "-D", "-", f"{url}/hints").stdout
        hints = "HTTP/2 103 \nlink: </style.css>; rel=preload\n\nHTTP/2 200 \n"
        assert heads.startswith(hints), repr(heads)
        assert context.run(*curl, "--http1.1", f"{url}/pieces").stdout.endswith("1.1 200")


@in_every_form(limit=180, forms=TWO_FORMS)
def http2_nghttp(context, form):
    """nghttp gets a page, sends a body and its trailers; h2load has 15,000 answers, all right, on 8
    connections with 1 and with 100 requests at a time, also over TLS and with small windows."""
    for program in ("nghttp", "h2load"):
        if not has(program):
            raise Skip(f"{program} is not installed; run: apt-get install nghttp2-client")
    _, host, _ = server(context, form)
    body = context.path("body")
    with open(body, "wb") as file:
        file.write(MEGABYTE)
    for url in (f"http://{host}:8000", f"https://{host}:8443"):
        assert context.run("nghttp", f"{url}/pieces").stdout.startswith("one after another\n")
        words = ["-d", body, "--trailer", "a: b", f"{url}/capitals"]
        assert context.run("nghttp", *words).stdout.encode() == MEGABYTE.upper()
        for load in (
            ("-n", "5000", "-c", "8", "-m", "1"),
            ("-n", "10000", "-c", "8", "-m", "100"),
            # Windows of 2^10 bytes for streams, 2^12 for the connection.
            ("-n", "4", "-c", "2", "-m", "2", "-w", "10", "-W", "12"),
        ):
            path = "/large" if "-w" in load else "/page"
            told = context.run("h2load", *load, f"{url}{path}").stdout
            count = load[1]
            assert f"{count} succeeded, 0 failed, 0 errored, 0 timeout" in told, told
            assert f"status codes: {count} 2xx" in told, told


@in_every_form(limit=180, forms=TWO_FORMS)
def http2_go_client(context, form):
    """Go's client: 200 requests at once, a megabyte each way, trailers, a cancelled request."""
    program = go(context)
    _, host, folder = server(context, form)
    told = context.run(program, "client", host, f"{folder}/authority.pem").stdout
    assert told.splitlines() == [
        "HTTP/2.0 one after another",
        "at once: 200",
        "a megabyte: true",
        "trailers: one two 3",
        "cancelled: true",
        "HTTP/2.0 /after",
    ], told


# Pages, and bodies that come back as they are.
NGINX = """daemon off;
master_process off;
pid nginx.pid;
error_log stderr notice;
events {}
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  ssl_certificate soil.test.pem;
  ssl_certificate_key soil.test.key;
  server {
    listen %(host)s:9000 http2;
    listen %(host)s:9443 ssl http2;
    location /page/ { return 200 "nginx $uri\n"; }
    location /capitals { return 200 "$content_length $server_protocol\n"; }
    location /reset { return 444; }
  }
}
"""


def nginx(context, host, folder):
    with open(os.path.join(folder, "nginx.conf"), "w", encoding="ascii") as file:
        file.write(NGINX % {"host": host})
    setup = os.path.join(ROOT, "tools", "setup", "setup.sh")
    binary = context.run(setup, "nginx").stdout.strip()
    child = context.child([binary, "-p", folder, "-c", "nginx.conf"])
    child.wait_line('using the "epoll" event method')


def client_of(context, form, folder, tap, *servers):
    inside, options = folder_of(context, "microvm", folder)
    words = [tap.host, inside, *servers]
    child = context.soil(f"{PROGRAMS}http2_client.exe", form, *words, tap=tap, options=options)
    status, output = outcome(child, context)
    assert status == 0, (status, output)
    return output.splitlines()


@in_every_form(forms=TWO_FORMS)
def http2_client_of_nginx(context, form):
    """100 requests at once to nginx, by prior knowledge and by ALPN."""
    folder = authority(context, "soil.test")
    tap = context.tap()
    nginx(context, tap.host, folder)
    for server in ("9000:http", "9443:https"):
        output = client_of(context, form, folder, tap, server)
        assert output == [
            f"{server}: HTTP/2.0 200 nginx /page/0",
            "at once: 100 on 1",
            "a megabyte: HTTP/2.0 200 1000000 HTTP/2.0",
            "reset: connection reset by peer",
            "after it: HTTP/2.0 200 nginx /page/1",
        ], output


@in_every_form(limit=180, forms=TWO_FORMS)
def http2_client_of_go(context, form):
    """100 requests at once to Go's server, a megabyte each way, a stream that it resets."""
    program = go(context)
    folder = authority(context, "soil.test")
    tap = context.tap()
    files = (f"{folder}/soil.test.pem", f"{folder}/soil.test.key")
    context.child([program, "server", tap.host, *files]).wait_line("ready")
    output = client_of(context, form, folder, tap, "8443:https")
    assert output == [
        "8443:https: HTTP/2.0 200 HTTP/2.0 /page/0",
        "at once: 100 on 1",
        "a megabyte: true",
        "reset: connection reset by peer",
        "after it: HTTP/2.0 200 HTTP/2.0 /page/1",
    ], output
