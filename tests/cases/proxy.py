"""examples/servers/gateway: a reverse proxy in front of nginx and of backends of this test, with
curl and raw sockets as clients."""

import contextlib
import os
import signal
import socket
import struct
import threading
import time

from cases.http import MALFORMED, Raw
from cases.network import in_every_form
from cases.services import MEGABYTE
from harness.console import PATIENCE
from harness.context import FORMS, ROOT, clean

PROGRAM = "examples/servers/gateway.exe"
TWO_FORMS = FORMS[:2]
SETUP = os.path.join(ROOT, "tools", "setup", "setup.sh")
# Echoes what it gets, and takes 20 MiB.
NGINX = """daemon off;
master_process off;
pid nginx.pid;
error_log stderr notice;
events {}
http {
  access_log requests.log;
  client_max_body_size 20m;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  server {
    listen %s:%d;
    location / { root site; }
    location /fields { return 200 "$host|$http_x_forwarded_for|$http_x|$http_y|$http_via\\n"; }
    location /put { root site; dav_methods PUT; }
  }
}
"""


def nginx(context, host, port):
    folder = context.path(f"nginx-{port}")
    os.makedirs(os.path.join(folder, "site"))
    with open(os.path.join(folder, "site", "large"), "wb") as file:
        file.write(MEGABYTE * 8)
    with open(os.path.join(folder, "nginx.conf"), "w", encoding="ascii") as file:
        file.write(NGINX % (host, port))
    binary = context.run(SETUP, "nginx").stdout.strip()
    child = context.child([binary, "-p", folder, "-c", "nginx.conf"])
    child.wait_line('using the "epoll" event method')
    return child, folder


class Backend:
    """A backend of this test: `answer(connection, head)` answers each request, which has no body;
    all bytes are kept."""

    def __init__(self, context, host, answer):
        self.listener = socket.create_server((host, 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.got, self.answer = [], answer
        self.lock = threading.Lock()
        context._closing.append(self.listener.close)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        connection.settimeout(PATIENCE)
        with contextlib.suppress(OSError), connection:
            text = b""
            while True:
                while b"\r\n\r\n" not in text:
                    more = connection.recv(65536)
                    if not more:
                        return
                    self.keep(more)
                    text += more
                head, _, text = text.partition(b"\r\n\r\n")
                self.answer(connection, head)

    def keep(self, data):
        with self.lock:
            self.got.append(data)

    def bytes(self):
        with self.lock:
            return b"".join(self.got)


def gateway(context, form, backends):
    """The gateway in front of `backends`, functions of the host's address that return ports."""
    tap = context.tap(form)
    ports = [backend(tap.host) for backend in backends]
    uris = [f"http://{tap.host}:{port}" for port in ports]
    child = context.soil(PROGRAM, form, "8000", *uris, tap=tap)
    child.wait_line("listens on port")
    return child, tap.guest, ports


def ok(connection, _):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@in_every_form(forms=TWO_FORMS)
def proxy_to_nginx(context, form):
    """curl gets a file of 8 MiB and the fields that it should; a large body arrives; a server that
    ends is replaced by the other one, and the client notices nothing."""
    servers = {}

    def start(port):
        def run(host):
            servers[port] = nginx(context, host, port)
            return port

        return run

    _, host, ports = gateway(context, form, [start(8181), start(8182)])
    url = f"http://{host}:8000"
    got = context.run(
        "curl", "-sS", f"{url}/large", "-o", context.path("got"), "-w", "%{http_code}"
    )
    assert got.stdout == "200", got
    with open(context.path("got"), "rb") as file:
        assert file.read() == MEGABYTE * 8
    fields = ["-H", "X: 1", "-H", "Connection: x", "-H", "Y: 2", "-H", "Host: soil.test"]
    got = context.run("curl", "-sS", *fields, f"{url}/fields").stdout.split("|")
    assert got[0] == "soil.test" and got[2:] == ["", "2", "1.1 soil\n"], got
    assert got[1].count(".") == 3, got
    body = ["--data-binary", f"@{context.path('got')}"]
    # nginx has no such method for files, and reads the body.
    got = context.run("curl", "-sS", *body, f"{url}/large", "-o", "/dev/null", "-w", "%{http_code}")
    assert got.stdout in ("405", "413"), got
    servers[8181][0].signal(signal.SIGKILL)
    for _ in range(6):
        got = context.run("curl", "-sS", f"{url}/fields", "-o", "/dev/null", "-w", "%{http_code}")
        assert got.stdout == "200", got
    servers[8182][0].signal(signal.SIGKILL)
    servers[8182][0].finish(context.remaining())
    got = context.run("curl", "-sS", f"{url}/fields", "-o", "/dev/null", "-w", "%{http_code}")
    assert got.stdout in ("502", "503"), got


@in_every_form(forms=TWO_FORMS)
def proxy_passes_nothing_that_it_refuses(context, form):
    """What a server refuses reaches neither nginx nor a backend that keeps each byte; nothing that
    follows in the same connection does."""
    strict, folders = [], []

    def recorder(host):
        strict.append(Backend(context, host, ok))
        return strict[0].port

    def server(host):
        folders.append(nginx(context, host, 8183)[1])
        return 8183

    _, host, _ = gateway(context, form, [recorder, server])
    for text in MALFORMED:
        # Once for each backend.
        for _ in range(2):
            with contextlib.closing(Raw(host)) as raw:
                raw.send(text + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
                status, _, _ = raw.response()
                assert status == 400, (text, status)
                assert raw.ended(), text
    with contextlib.closing(Raw(host)) as raw:
        raw.send(b"GET /last HTTP/1.1\r\nHost: a\r\n\r\n")
        raw.response()
    with open(os.path.join(folders[0], "requests.log"), encoding="utf-8") as file:
        log = file.read()
    assert "smuggled" not in log, log
    assert b"smuggled" not in strict[0].bytes(), strict[0].bytes()


@in_every_form(forms=TWO_FORMS)
def proxy_and_slow_peers(context, form):
    """A client that doesn't read holds back its backend; one that goes away ends the backend's
    connection; a body that is cut is cut for the client."""
    ended, sent = threading.Event(), []

    def endless(connection, head):
        if b"GET /cut" in head:
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
            )
            connection.close()
            return
        if b"GET /endless" not in head:
            ok(connection, head)
            return
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
                sent.append(65536)
        except OSError:
            ended.set()

    _, host, _ = gateway(context, form, [lambda host: Backend(context, host, endless).port])
    with contextlib.closing(Raw(host)) as raw:
        raw.send(b"GET /cut HTTP/1.1\r\nHost: a\r\n\r\n")
        assert raw.input.read().endswith(b"hello\r\n"), "the end of a body that was cut"
    reader = socket.create_connection((host, 8000), PATIENCE)
    reader.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
    reader.recv(1000)
    before = -1
    while len(sent) > before:
        before = len(sent)
        time.sleep(0.5)
    # Buffers of both connections hold a few megabytes.
    assert len(sent) < 1000, f"{len(sent)} pieces of 64 KiB for a client that doesn't read"
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    reader.close()
    assert ended.wait(PATIENCE), "the backend isn't told that the client has left"


def chunked(size):
    return b"POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + (
        b"%x\r\n" % size + bytes(size) + b"\r\n" if size else b""
    )


WEBSOCKET = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@in_every_form(forms=TWO_FORMS)
def proxy_serves_beside_slow_clients(context, form):
    """Tunnels without a byte, uploads that don't go on, and clients that read nothing, 110 of each,
    more than a backend's places: a request is answered beside them."""

    def serve(connection, head):
        if b"GET /ws" in head:
            connection.sendall(
                b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            )
            connection.recv(1)
        elif b"GET /large" in head:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            while True:
                connection.sendall(bytes(65536))
        else:
            ok(connection, head)

    _, host, _ = gateway(context, form, [lambda host: Backend(context, host, serve).port])

    def answers(of):
        with contextlib.closing(Raw(host)) as raw:
            raw.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            status, _, body = raw.response()
            assert (status, body) == (200, b"ok"), (of, status)

    with contextlib.ExitStack() as opened:

        def client(text):
            raw = opened.enter_context(contextlib.closing(Raw(host)))
            raw.send(text)
            return raw

        tunnels = [client(WEBSOCKET) for _ in range(110)]
        statuses = [int(raw.input.readline().split()[1]) for raw in tunnels]
        # A tenth of all tunnels is a client's share.
        assert statuses == [101] * 100 + [429] * 10, statuses
        answers("tunnels")
        for _ in range(110):
            client(chunked(0))
            client(chunked(1000))
        answers("uploads")
        readers = [client(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(110)]
        refused = 0
        for raw in readers:
            status = int(raw.input.readline().split()[1])
            assert status in (200, 429), status
            refused += status == 429
        # Half of the places is a client's share; one that reads nothing returns its place.
        assert refused > 0
        answered = time.monotonic() + PATIENCE
        while True:
            with contextlib.closing(Raw(host)) as raw:
                raw.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                status, _, _ = raw.response()
            if status == 200:
                break
            assert status == 429 and time.monotonic() < answered, status


@in_every_form(forms=TWO_FORMS)
def proxy_reports_in_lines(context, form):
    """Each failure of a backend is one line on standard error."""
    child, host, ports = gateway(context, form, [lambda host: 1])
    with contextlib.closing(Raw(host)) as raw:
        for _ in range(2):
            raw.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            status, _, _ = raw.response()
            assert status in (502, 503), status
    child.signal(signal.SIGTERM)
    child.finish(context.remaining())
    reports = [line for line in clean(child.text).splitlines() if "http proxy " in line]
    assert reports, child.text
    for line in reports:
        assert line.count("http proxy ") == 1, line


@in_every_form(forms=TWO_FORMS)
def proxy_stops(context, form):
    """A request in progress gets its response after SIGTERM."""
    begun, go = threading.Event(), threading.Event()

    def slow(connection, head):
        if b"GET /slow" in head:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(50000))
            begun.set()
            go.wait(PATIENCE)
            connection.sendall(bytes(50000))
        else:
            ok(connection, head)

    child, host, _ = gateway(context, form, [lambda host: Backend(context, host, slow).port])
    with contextlib.closing(Raw(host)) as raw, contextlib.closing(Raw(host)) as idle:
        idle.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        idle.response()
        raw.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        assert begun.wait(PATIENCE)
        child.signal(signal.SIGTERM)
        assert idle.ended()
        go.set()
        assert len(raw.response()[2]) == 100000
    assert child.finish(context.remaining()) == 143, child.text
