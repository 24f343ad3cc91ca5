"""Soil's HTTP and WebSocket against curl, Python's http.client and http.server, and raw sockets."""

import base64
import contextlib
import email
import gzip
import hashlib
import http.client
import http.server
import os
import re
import signal
import socket
import ssl
import struct
import threading
import time

from harness.console import PATIENCE
from harness.context import FORMS, FORMS_AND_SOCKETS, outcome
from harness.pages import Pages
from harness.runner import test

from cases.network import in_every_form
from cases.services import (
    EXPECT,
    MEGABYTE,
    WebSocket,
    authority,
    certificate,
    folder_of,
    secure_server,
    trusting,
)
from cases.website import SITE, disk_with

PROGRAMS = "tests/programs/http/"
TWO_FORMS = FORMS[:2]


def server(context, form, *options):
    folder = authority(context, "soil.test")
    program = f"{PROGRAMS}http_server.exe"
    child, host = secure_server(context, form, program, folder, *options)
    return child, host, folder


class Ended(Exception):
    """The connection has ended in place of a response."""


class Raw:
    """A raw connection."""

    def __init__(self, host, port=8000, patience=PATIENCE):
        self.socket = socket.create_connection((host, port), timeout=patience)
        self.input = self.socket.makefile("rb")

    def send(self, text):
        self.socket.sendall(text)

    def response(self):
        """The status, the fields and the body of the next response, which has a Content-Length."""
        line = self.input.readline()
        if not line:
            raise Ended
        status = int(line.split()[1])
        fields = {}
        while (line := self.input.readline()) != b"\r\n":
            name, _, value = line.decode().partition(":")
            fields[name.lower()] = value.strip()
        return status, fields, self.input.read(int(fields.get("content-length", 0)))

    def ended(self):
        """No more bytes arrive, and the connection has ended."""
        try:
            return self.input.read() == b""
        except ConnectionError:
            return True

    def close(self):
        self.input.close()
        self.socket.close()


@in_every_form(forms=TWO_FORMS)
def http_server(context, form):
    """curl sends a body after 100 Continue, a megabyte in chunks, and gets the same back; Python's
    client keeps 64 connections open at once; the same over TLS."""
    _, host, folder = server(context, form)
    large = context.path("large")
    with open(large, "wb") as file:
        file.write(MEGABYTE)
    secure = ["--cacert", f"{folder}/authority.pem", "--resolve", f"soil.test:8443:{host}"]
    for words, url in (([], f"http://{host}:8000"), (secure, "https://soil.test:8443")):
        curl = ["curl", "-sS", *words]
        got = context.run(*curl, f"{url}/pieces", f"{url}/pieces").stdout
        assert got == "one after another\n" * 2, got
        send = ["--data-binary", f"@{large}", f"{url}/capitals"]
        for fields in (EXPECT, ["-H", "Transfer-Encoding: chunked"]):
            got = context.run(*curl, *fields, *send).stdout
            assert got.encode() == MEGABYTE.upper(), (fields, len(got))
        seen = context.run(*curl, "-v", *EXPECT, *send).stderr
        assert "100 Continue" in seen, seen
        # A Content-Length beyond the limit of this path: the server doesn't request the body.
        send[-1] = f"{url}/length"
        words = [*EXPECT, "-o", "/dev/null", "-w", "%{http_code} %{size_upload}"]
        assert context.run(*curl, *words, *send).stdout == "413 0"
    clients = [http.client.HTTPConnection(host, 8000, PATIENCE) for _ in range(64)]
    for turn in range(2):
        for number, client in enumerate(clients):
            client.request("POST", "/capitals", f"client {number} turn {turn}")
        for number, client in enumerate(clients):
            body = client.getresponse().read()
            assert body == b"CLIENT %d TURN %d" % (number, turn), body
    for client in clients:
        client.close()


MALFORMED = (
    b"GET /\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
    b"POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    b"POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\nab\r\n0\r\n\r\n",
)  # fmt: skip


@in_every_form(forms=TWO_FORMS)
def http_bytes(context, form):
    """Pipelined requests get answers in order, and so do those that arrive byte by byte; malformed
    ones get 400 and the end, so no request can hide behind them; idle connections end at a stop,
    and a request in progress gets its response."""
    child, host, _ = server(context, form)
    with contextlib.closing(Raw(host)) as raw:
        names = [b"/%d" % number for number in range(100)]
        raw.send(b"".join(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % name for name in names))
        for name in names:
            assert raw.response()[2] == name + b"\n", name
        raw.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /bytes HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx":
            raw.send(bytes([byte]))
        assert raw.response()[2] == b"/bytes\n"
        raw.send(b"GET /old HTTP/1.0\r\n\r\n")
        status, fields, body = raw.response()
        assert (status, fields["connection"], body) == (200, "close", b"/old\n"), fields
        assert raw.ended()
    for text in MALFORMED:
        with contextlib.closing(Raw(host)) as raw:
            raw.send(text + b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n")
            status, fields, _ = raw.response()
            assert (status, fields["connection"]) == (400, "close"), (text, status, fields)
            assert raw.ended(), text
    idle, busy = Raw(host), Raw(host)
    idle.send(b"GET /idle HTTP/1.1\r\nHost: a\r\n\r\n")
    assert idle.response()[0] == 200
    busy.send(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n")
    child.wait_line("begun")
    child.signal(signal.SIGTERM)
    assert idle.ended()
    busy.send(b"x")
    status, fields, body = busy.response()
    assert (status, fields["connection"], body) == (200, "close", b"done\n"), fields
    assert busy.ended()
    assert child.finish() == 143, child.text


def draining(context, form, lame_duck):
    """The server that accepts clients for some seconds after it is asked to stop."""
    tap = context.tap()
    child = context.soil(f"{PROGRAMS}draining.exe", form, str(lame_duck), tap=tap)
    child.wait_line("ready")
    tap.wait_up()
    return child, tap.guest


def is_refused(host):
    """Whether a new client is refused, and doesn't wait."""
    try:
        with contextlib.closing(Raw(host)) as raw:
            assert raw.ended()
            return False
    except ConnectionRefusedError:
        return True


@in_every_form(forms=TWO_FORMS)
def http_clients_that_leave(context, form):
    """A handler is cancelled when its client closes its connection, with status 499 in the log. A
    server that is asked to stop refuses new clients while it answers an old one."""
    child, host = draining(context, form, 0)
    with contextlib.closing(Raw(host)) as leaver:
        leaver.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        child.wait_line("waits")
    child.wait_line("left")
    child.wait_line("499")
    idle, busy = Raw(host), Raw(host)
    idle.send(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
    status, fields, body = idle.response()
    assert (status, fields["content-type"]) == (404, "application/problem+json"), fields
    assert body == b'{"title":"Not Found","status":404}', body
    busy.send(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n")
    child.wait_line("begun")
    child.signal(signal.SIGTERM)
    assert idle.ended()
    assert is_refused(host)
    busy.send(b"x")
    status, fields, body = busy.response()
    assert (status, fields["connection"], body) == (200, "close", b"done\n"), fields
    assert busy.ended()
    assert child.finish() == 143, child.text


# Longer than a busy host may stop all of its programs.
LAME_DUCK = 8


@in_every_form(forms=TWO_FORMS)
def http_lame_ducks(context, form):
    """A server with `lame_duck` serves new clients after it was asked to stop, says that it isn't
    ready, and refuses them later."""
    child, host = draining(context, form, LAME_DUCK)
    statuses = []
    with contextlib.closing(Raw(host)) as raw:
        raw.send(b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n")
        statuses.append(raw.response()[0])
    child.signal(signal.SIGTERM)
    # Until it refuses, or has ended; a machine that has ended doesn't answer.
    with contextlib.suppress(OSError, Ended):
        while True:
            with contextlib.closing(Raw(host, patience=LAME_DUCK)) as raw:
                raw.send(b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n")
                status, fields, _ = raw.response()
                statuses.append(status)
                assert status == 200 or fields["connection"] == "close", fields
            time.sleep(0.1)
    assert 503 in statuses and statuses == sorted(statuses), statuses
    assert child.finish() == 143, child.text


@in_every_form(forms=TWO_FORMS)
def http_accounts(context, form):
    """curl logs in and out by forms with tokens, keeps sessions in memory and in a signed cookie, and
    sends a user's name and password."""
    tap = context.tap()
    child = context.soil(f"{PROGRAMS}accounts.exe", form, tap=tap)
    child.wait_line("ready")
    url, jar = f"http://{tap.guest}:8000", context.path("cookies")

    def curl(path, *words):
        words = ["curl", "-sS", "-b", jar, "-c", jar, "-w", "%{http_code}", *words, url + path]
        return context.run(*words).stdout

    def post(path, *fields, words=()):
        return curl(path, *words, *(word for field in fields for word in ("-d", field)))

    def cookie():
        with open(jar) as file:
            return next(line.split()[-1] for line in file if "\tsession\t" in line)

    assert curl("/user") == "a guest\n200"
    assert post("/log-in", "password=secret").endswith("403"), "without a token"
    token = curl("/token").removesuffix("200")
    before = cookie()
    assert post("/log-in", f"csrf={token}", "password=wrong").endswith("403")
    foreign = ("-H", "Origin: http://example.com")
    form_fields = [f"csrf={token}", "password=secret"]
    assert post("/log-in", *form_fields, words=foreign).endswith("403"), "another site"
    assert post("/log-in", *form_fields) == "in\n200"
    assert cookie() != before, "the identifier of before the log-in"
    assert curl("/user") == "ann\n200"
    assert (
        context.run("curl", "-sS", "-b", f"session={before}", url + "/user").stdout == "a guest\n"
    )
    assert [curl("/visits") for _ in range(3)] == ["1\n200", "2\n200", "3\n200"]
    assert post("/log-out", f"csrf={token}").endswith("403"), "the token of before the log-in"
    token = curl("/token").removesuffix("200")
    assert curl("/log-out", "-X", "POST", "-H", f"X-CSRF-Token: {token}") == "out\n200"
    assert curl("/user") == "a guest\n200"
    with open(jar) as file:
        text = file.read()
    name, signed = next(line.split()[-2:] for line in text.splitlines() if "\tsigned\t" in line)
    assert name == "signed" and curl("/visits") == "4\n200"
    with open(jar, "w") as file:
        file.write(text.replace(signed, "A" + signed[1:]))
    assert curl("/visits") == "1\n200", "a changed cookie"
    assert curl("/api").endswith("401")
    assert curl("/api", "-u", "ann:wrong").endswith("401")
    assert curl("/api", "-u", "ann:secret") == "ann\n200"


@in_every_form(forms=TWO_FORMS)
def http_websockets(context, form):
    """Eight clients at once: texts, 70,000 bytes in one frame, pings, the closing handshake; an
    unmasked frame ends its connection with 1002; a stopped server closes with 1001."""
    child, host, _ = server(context, form)
    clients = [WebSocket(host, 8000, "/chat") for _ in range(8)]
    for number, client in enumerate(clients):
        client.send(1, b"text of %d" % number)
    for number, client in enumerate(clients):
        assert client.receive() == (1, b"TEXT OF %d" % number)
    large = MEGABYTE[:70_000]
    for opcode, sent, answer in (
        (2, large, (2, large)),
        (9, b"are you there", (10, b"are you there")),
        (1, b"", (1, b"")),
        (8, struct.pack("!H", 1000), (8, struct.pack("!H", 1000))),
    ):
        clients[3].send(opcode, sent)
        received = clients[3].receive()
        assert received == answer, (opcode, received[0], received[1][:100])
    clients[4].socket.sendall(b"\x81\x05hello")
    assert clients[4].receive() == (8, struct.pack("!H", 1002) + b"mask")
    child.signal(signal.SIGTERM)
    for client in clients[:3]:
        # 1001: the server goes away. It waits for the reply.
        away = (8, struct.pack("!H", 1001))
        assert client.receive() == away
        client.send(*away)
        assert client.input.read() == b""
    for client in clients:
        client.input.close()
        client.socket.close()
    assert child.finish() == 143, child.text


@in_every_form(forms=("microvm",))
def http_announced_frames(context, form):
    """93 clients announce a message of 1 MiB in 14 bytes, which takes no memory of an image with
    defaults: another client is served; each of the 93 ends by a timeout."""
    child, host, _ = server(context, form)
    clients = [WebSocket(host, 8000, "/chat") for _ in range(93)]
    for client in clients:
        client.socket.sendall(b"\x82\xff" + struct.pack("!Q", 1 << 20) + b"mask")
    other = WebSocket(host, 8000, "/chat")
    large = MEGABYTE[:1_000_000]
    other.send(2, large)
    assert other.receive() == (2, large)
    for client in clients:
        assert client.input.read() == b""
        client.input.close()
        client.socket.close()
    other.send(1, b"still there")
    assert other.receive() == (1, b"STILL THERE")
    child.signal(signal.SIGTERM)
    assert other.receive() == (8, struct.pack("!H", 1001))
    other.send(8, struct.pack("!H", 1001))
    assert child.finish() == 143, child.text


@in_every_form(forms=TWO_FORMS)
def http_failed_handshakes(context, form):
    """At log level info one line has the reason why a client's handshake failed, with the client's
    address: no TLS, an old version, a client that doesn't trust the certificate. Others are
    served."""
    child, host, folder = server(context, form, "--log", "info")
    peer = re.escape(host.rpartition(".")[0] + ".1")
    trusting = ["--cacert", f"{folder}/authority.pem", "--resolve", f"soil.test:8443:{host}"]
    openssl = ["openssl", "s_client", "-connect", f"{host}:8443"]
    for words, reason in (
        (["curl", "-sS", f"http://{host}:8443/"], "the peer doesn't speak TLS"),
        ([*openssl, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "incompatible"),
        # Some versions of curl don't report why they end.
        ([*openssl, "-verify_return_error"], "UnknownCA"),
        ([*openssl, "-cipher", "AES128-SHA", "-tls1_2"], "incompatible"),
    ):
        seen = len(child.lines)
        assert context.run(*words, check=False).returncode != 0, words
        _, line = child.wait_line("tls handshake", after=seen)
        begin = rf"\S+Z soil: info: Soil.Error: tls handshake tls over tcp {peer}:\d+: "
        assert re.match(begin, line) and reason in line, (reason, line)
    assert context.run("curl", "-sS", *trusting, "https://soil.test:8443/a").stdout == "/a\n"


def scan(host, number):
    """A stranger at an HTTPS port, of one of five kinds."""
    with socket.create_connection((host, 8443), PATIENCE) as stranger:
        match number % 5:
            case 0:  # Plain HTTP.
                stranger.sendall(b"GET / HTTP/1.1\r\nHost: soil.test\r\n\r\n")
            case 1:  # Another protocol.
                stranger.sendall(b"SSH-2.0-scan\r\n")
            case 2:  # The beginning of a ClientHello, then the end of the connection.
                stranger.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
                stranger.shutdown(socket.SHUT_WR)
            case 3:  # The same, then a reset.
                stranger.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
                stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            case 4:  # A client that doesn't trust the server.
                try:
                    ssl.create_default_context().wrap_socket(stranger, server_hostname="soil.test")
                except (ssl.SSLError, ConnectionError):
                    return
        try:
            while stranger.recv(4096):
                pass
        except ConnectionError:
            pass


def said_to_strangers(context, form, *options):
    """A server's output while a thousand strangers and one legitimate client connect to its HTTPS
    port."""
    child, host, folder = server(context, form, *options)
    before = len(child.lines)
    for number in range(1000):
        seen = len(child.lines)
        scan(host, number)
        if options and number % 5 == 0:
            # Reads the output, which would fill the pipe.
            child.wait_line("tls handshake", after=seen)
    trusting = ["--cacert", f"{folder}/authority.pem", "--resolve", f"soil.test:8443:{host}"]
    assert context.run("curl", "-sS", *trusting, "https://soil.test:8443/a").stdout == "/a\n"
    child.signal(signal.SIGTERM)
    assert child.finish(context.remaining()) == 143, child.text
    return [line for _, line in child.lines[before:]]


@in_every_form(forms=TWO_FORMS[1:], limit=120)
def strangers_at_an_https_port(context, form):
    """A thousand strangers leave nothing in the log. Others are served."""
    said = said_to_strangers(context, form)
    assert not said, f"{len(said)} lines:\n" + "\n".join(said[:50])


@in_every_form(forms=TWO_FORMS[:1], limit=120)
def strangers_are_information(context, form):
    """At log level info each stranger is one line, except connections that were reset."""
    said = said_to_strangers(context, form, "--log", "info")
    other = [line for line in said if "Soil.Error: tls " not in line]
    assert not other, "\n".join(other[:50])
    assert 800 <= len(said) <= 1000, len(said)


# The client


class Asked(Pages):
    """The pages that Soil's client requests."""

    def do_GET(self):
        if self.path == "/pieces":
            self.pieces()
        elif self.path == "/redirect":
            self.answer(302, b"elsewhere", Location="http://soil.test:8000/page/end")
        elif self.path == "/loop":
            self.answer(302, b"", Location="/loop")
        elif self.path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "10")
            self.end_headers()
            self.wfile.write(b"short")
            self.close_connection = True
        elif self.path == "/silence":
            self.server.released.wait(PATIENCE)
            self.close_connection = True
        else:
            self.answer(200, self.path.encode())

    def do_POST(self):
        if self.headers["Content-Length"]:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        else:
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        self.answer(200, body.upper())


class PageServer(http.server.ThreadingHTTPServer):
    """Counts its connections."""

    daemon_threads = True

    def __init__(self, address):
        super().__init__(address, Asked)
        self.connections, self.released = 0, threading.Event()

    def get_request(self):
        self.connections += 1
        return super().get_request()

    def handle_error(self, *_):
        pass


def chat(listener):
    """A WebSocket server for one client: echoes two messages, in fragments with a ping between
    them, and closes."""
    client, _ = listener.accept()
    client.settimeout(PATIENCE)
    with client, client.makefile("rb") as stream:
        fields = dict(
            line.decode().rstrip().split(": ", 1) for line in iter(stream.readline, b"\r\n") if b": " in line
        )  # fmt: skip
        fields = {name.lower(): value for name, value in fields.items()}
        digest = hashlib.sha1(
            (fields["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()
        ).digest()
        client.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )  # fmt: skip

        def receive():
            first, size = stream.read(2)
            assert size & 128, "no mask"
            size &= 127
            if size > 125:
                size = int.from_bytes(stream.read(2 if size == 126 else 8), "big")
            mask = stream.read(4)
            payload = bytes(
                a ^ b for a, b in zip(stream.read(size), mask * (size // 4 + 1), strict=False)
            )
            return first & 15, payload

        def send(first, payload):
            size = len(payload)
            length = bytes([size]) if size < 126 else struct.pack("!BQ", 127, size)
            client.sendall(bytes([first]) + length + payload)

        for _ in range(2):
            opcode, payload = receive()
            half = len(payload) // 2
            send(opcode, payload[:half])
            send(0x89, b"there?")
            send(0x80, payload[half:])
        pongs = []
        send(0x88, struct.pack("!H", 4000) + b"enough")
        while (message := receive())[0] != 8:
            pongs.append(message)
        assert pongs == [(10, b"there?")] * 2, pongs
        assert message == (8, struct.pack("!H", 4000)), message


@in_every_form(forms=TWO_FORMS)
def http_client(context, form):
    """Against Python's server: eight pages on four reused connections, chunks, a megabyte each way,
    redirects, errors, TLS and a wrong certificate; a WebSocket server that sends fragments and
    pings."""
    folder = authority(context, "soil.test")
    inside, options = folder_of(context, "microvm", folder)
    tap = context.tap()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(f"{folder}/soil.test.pem", f"{folder}/soil.test.key")
    with (
        PageServer((tap.host, 8000)) as plain,
        PageServer((tap.host, 8443)) as secure,
        socket.create_server((tap.host, 8002)) as chats,
    ):
        secure.socket = tls.wrap_socket(secure.socket, server_side=True)
        talking = threading.Thread(target=chat, args=(chats,), daemon=True)
        talking.start()
        for each in (plain, secure):
            threading.Thread(target=each.serve_forever, daemon=True).start()
        words = [tap.host, inside]
        child = context.soil(f"{PROGRAMS}http_client.exe", form, *words, tap=tap, options=options)
        status, output = outcome(child, context)
        talking.join(PATIENCE)
        for each in (plain, secure):
            each.released.set()
            each.shutdown()
    assert output.splitlines() == [
        *[f"page: 200 /page/{number}" for number in range(8)],
        "connections: 4",
        "pieces: 200 one after another",
        "a megabyte: true",
        "in chunks: true",
        "a redirect: 200 /page/end",
        "a loop: too many redirects",
        "a cut body: the connection ended before the body",
        "silence: the server is too slow",
        "no server: connection refused",
        "over TLS: 200 /page/tls",
        "down to http: a redirect from https to http",
        "another name: certificate not accepted",
        "protocol: chat",
        "message: text text",
        "message: binary, the same: true",
        "message: the end",
        "closed: 4000 enough",
        "done",
    ], output
    assert status == 0, status
    # The four, and one of the client with a short timeout.
    assert plain.connections == 5, plain.connections
    assert not talking.is_alive()


# The website


@in_every_form(limit=90, forms=FORMS_AND_SOCKETS)
def http_files(context, form):
    """curl gets ranges, conditional requests by date and by tag, and compressed siblings."""
    large = os.urandom(300_000)
    text = b"body { color: green }\n" * 100
    files = {"large.bin": large, "extra.css": text, "extra.css.gz": gzip.compress(text)}
    disk = disk_with(context, files)
    tap = context.tap(form)
    child = context.soil(
        "examples/website/main.exe", form, tap=tap, options=["--disk", f"www={disk}"]
    )
    child.wait_line("http://")
    url, got = f"http://{tap.guest}", context.path("got")

    def curl(path, *words):
        return context.run(
            "curl", "-sS", "-o", got, "-w", "%{http_code}", *words, url + path
        ).stdout

    def body():
        with open(got, "rb") as file:
            return file.read()

    for words, wanted in (
        ("0-9", large[:10]),
        ("1000-201000", large[1000:201001]),
        ("299990-", large[-10:]),
        ("-5", large[-5:]),
    ):
        assert curl("/large.bin", "-r", words) == "206" and body() == wanted, words
    assert curl("/large.bin", "-r", "300000-") == "416"
    # Several parts; overlapping ones merge.
    head = context.path("head")
    assert curl("/large.bin", "-r", "299000-,0-9,100000-149999,120000-160000", "-D", head) == "206"
    with open(head) as file:
        kind = next(line for line in file if line.lower().startswith("content-type: "))
    parts = email.message_from_bytes(kind.encode() + b"\n" + body()).get_payload()
    got_parts = [(part["content-range"], part.get_payload(decode=True)) for part in parts]
    assert got_parts == [
        (f"bytes {first}-{last}/300000", large[first : last + 1])
        for first, last in ((0, 9), (100_000, 160_000), (299_000, 299_999))
    ], [name for name, _ in got_parts]
    assert curl("/large.bin", "-r", ",".join("0-" for _ in range(16))) == "206" and body() == large
    assert curl("/large.bin", "-r", "0-0," * 16 + "1000-1000") == "200" and body() == large
    with open(got, "wb") as file:
        file.write(large[:100_000])
    assert curl("/large.bin", "-C", "-") == "206" and body() == large, "continued"
    tag = context.path("tag")
    assert curl("/large.bin", "--etag-save", tag) == "200"
    assert curl("/large.bin", "--etag-compare", tag) == "304"
    assert curl("/index.html", "--etag-compare", tag) == "200"
    assert curl("/large.bin", "-z", "Fri, 31 Dec 2066 00:00:00 GMT") == "304"
    assert curl("/large.bin", "-z", "Fri, 31 Dec 1999 00:00:00 GMT") == "200"
    assert curl("/extra.css", "--compressed") == "200" and body() == text
    assert curl("/extra.css", "-H", "Accept-Encoding: gzip") == "200"
    assert body() == files["extra.css.gz"], "not the sibling"
    assert curl("/extra.css") == "200" and body() == text


@in_every_form(forms=TWO_FORMS)
def website_over_tls(context, form):
    """The website's pages over https, with a certificate from another disk."""
    folder = authority(context, "soil.test")
    keys = context.path("keys.img")
    with open(keys, "wb") as file:
        file.truncate(16 << 20)
    context.run("mkfs.fat", keys)
    names = [os.path.join(folder, f"soil.test.{kind}") for kind in ("pem", "key")]
    context.run("mcopy", "-i", keys, *names, "::/")
    tap = context.tap()
    words = ["/keys/soil.test.pem", "/keys/soil.test.key"]
    options = ["--disk", f"keys={keys}", "--disk", f"www={disk_with(context, {})}"]
    child = context.soil("examples/website/secure.exe", form, *words, tap=tap, options=options)
    child.wait_line(f"https://{tap.guest}/ serves /www")
    curl = ["curl", "-sS", "--resolve", f"soil.test:443:{tap.guest}", "https://soil.test/"]
    page = context.run(*curl, "--cacert", f"{folder}/authority.pem").stdout
    with open(os.path.join(SITE, "index.html")) as file:
        assert page == file.read()
    assert context.run(*curl, check=False).returncode == 60, "an unknown authority"


@test(limit=90)
def website_with_a_renewed_certificate(context):
    """Certificate and key are replaced in the host's folder while the website serves: an existing
    connection continues, and later ones get the new certificate. While the key doesn't match, they
    get the old one."""
    folder = authority(context, "soil.test")
    certificate(context, folder, "new.test", "authority")
    tap = context.tap()
    options = ["--mount", f"/www=host:{SITE},ro", "--mount", f"/keys=host:{folder},ro"]
    words = ["/keys/soil.test.pem", "/keys/soil.test.key"]
    program = "examples/website/secure.exe"
    child = context.soil(program, "process", *words, tap=tap, options=options)
    child.wait_line("serves /www")
    trusted = trusting(folder)

    def connect(name):
        connection = http.client.HTTPSConnection(tap.guest, 443, timeout=PATIENCE, context=trusted)
        connection.sock = trusted.wrap_socket(
            socket.create_connection((tap.guest, 443), PATIENCE), server_hostname=name
        )
        return connection

    def page(connection):
        connection.request("GET", "/index.html")
        return connection.getresponse().read()

    with open(f"{SITE}/index.html", "rb") as file:
        wanted = file.read()
    old = connect("soil.test")
    assert page(old) == wanted
    for kind, said in (("pem", "website: tls certificates"), ("key", "get the new certificate")):
        seen = len(child.lines)
        os.replace(f"{folder}/new.test.{kind}", f"{folder}/soil.test.{kind}")
        child.wait_line(said, after=seen)
        name = "soil.test" if kind == "pem" else "new.test"
        assert page(connect(name)) == wanted, name
        # Each time, since the server ends a connection idle for half a minute.
        assert page(old) == wanted, "the connection from before"
    try:
        connect("soil.test")
        raise AssertionError("the old certificate is still shown")
    except ssl.SSLCertVerificationError:
        pass
    assert page(old) == wanted, "the connection from before"
