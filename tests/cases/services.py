"""Services with third-party libraries, as Debian packages them: cohttp, OpenSSL, WebSocket,
ocsigenserver, PG'OCaml."""

import base64
import glob
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

from cases.network import in_every_form
from harness.console import PATIENCE
from harness.context import Skip, outcome
from harness.pages import Pages
from harness.runner import test

PROGRAMS = "tests/programs/services/"
FORMS = ("process", "microvm")
# curl's option to wait for 100 Continue before the body: by default only for one second.
EXPECT = ("--expect100-timeout", "60", "-H", "Expect: 100-continue")
MEGABYTE = b"abcdefghijklmnopqrstuvwxyz" * 40_000


def started(context, program, form, *arguments, **options):
    """The service, started on a TAP if it is a machine; (child, address)."""
    tap = None if form == "process" else context.tap()
    child = context.soil(f"{PROGRAMS}{program}.exe", form, *arguments, tap=tap, **options)
    if tap:
        tap.wait_up()
    return child, tap.guest if tap else "127.0.0.1"


def folder_of(context, form, folder):
    """The program's path to a folder of the test, and the options that give it to a machine, as an
    ext4 image."""
    if form == "process":
        return folder, []
    disk = context.path("folder.ext4")
    with open(disk, "wb") as file:
        file.truncate(32 << 20)
    context.run("mkfs.ext4", "-q", "-d", folder, disk)
    return "/folder", ["--disk", f"folder={disk}"]


@in_every_form(forms=FORMS)
def cohttp_server(context, form):
    """cohttp-lwt-unix answers curl and 64 clients at once; a connection stays open, also after a
    missing page; a megabyte goes each way, and an answer in chunks."""
    child, host = started(context, "http_server", form, "8000")
    ask_http_server(child, context, host)


@in_every_form(forms=FORMS)
def cohttp_beside_tasks(context, form):
    """The same server, with answers computed by tasks of Soil: soil.lwt.unix runs both with one
    wait. A stop request ends both."""
    child, host = started(context, "http_beside", form, "8000")
    ask_http_server(child, context, host)
    child.signal(signal.SIGTERM)
    assert child.finish(context.remaining()) == 143, child.text
    assert "others ran: true" in child.text, child.text


def ask_http_server(child, context, host):
    child.wait_line("ready")
    url = f"http://{host}:8000"
    words = ["curl", "-sS", "-w", "%{http_code} %{num_connects}\n"]
    answers = context.run(*words, f"{url}/pieces", f"{url}/other", f"{url}/pieces").stdout
    pieces = "one piece after another\n"
    assert answers == f"{pieces}200 1\nno /other\n404 0\n{pieces}200 0\n", answers
    clients = [http.client.HTTPConnection(host, 8000, PATIENCE) for _ in range(64)]
    for turn in range(2):
        for number, client in enumerate(clients):
            client.request("POST", "/capitals", f"client {number} turn {turn}")
        for number, client in enumerate(clients):
            body = client.getresponse().read()
            assert body == b"CLIENT %d TURN %d" % (number, turn), body
    clients[0].request("POST", "/capitals", MEGABYTE)
    assert clients[0].getresponse().read() == MEGABYTE.upper()
    for client in clients:
        client.close()


class Asked(Pages):
    """The pages that the client requests."""

    def do_GET(self):
        if self.path == "/pieces":
            self.pieces()
        elif self.path.startswith("/page/"):
            self.answer(200, self.path.encode())
        else:
            self.answer(404, b"")

    def do_POST(self):
        self.answer(200, self.rfile.read(int(self.headers["Content-Length"])).upper())


@in_every_form(forms=FORMS)
def cohttp_client(context, form):
    """cohttp-lwt-unix as a client of a Linux server: eight pages at once, chunks, a megabyte each
    way, a missing page, and a port without a server."""
    tap = None if form == "process" else context.tap()
    host = tap.host if tap else "127.0.0.1"
    with http.server.ThreadingHTTPServer((host, 8000), Asked) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        words = [f"http://{host}:8000/", f"http://{host}:8001/"]
        child = context.soil(f"{PROGRAMS}http_client.exe", form, *words, tap=tap)
        status, output = outcome(child, context)
        server.shutdown()
    assert output.splitlines() == [
        *[f"200 /page/{number}" for number in range(8)],
        "200 one after another",
        "a megabyte: true",
        "absent: 404",
        "Connection refused",
    ], output
    assert status == 0, status


# The configuration of `openssl ca`, the only command that makes past certificates in all versions.
AUTHORITY = """[ca]
default_ca = here
[here]
database = index
serial = next
new_certs_dir = .
default_md = sha256
policy = names
copy_extensions = copy
[names]
commonName = supplied
"""
PAST = ["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"]


def certificate(context, folder, name, signer=None, past=False):
    """NAME.pem and NAME.key in `folder`: a certificate for this name, signed by `signer` or itself,
    valid for two days from now or expired. One for "authority" may sign others."""
    words = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    words += ["-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"]
    use = "basicConstraints=CA:TRUE" if name == "authority" else f"subjectAltName=DNS:{name}"
    context.run("openssl", "req", *words, "-addext", use, cwd=folder)
    if past:
        for file, text in (("ca.cnf", AUTHORITY), ("index", ""), ("next", "01\n")):
            with open(os.path.join(folder, file), "w") as out:
                out.write(text)
        words = ["ca", "-batch", "-notext", "-config", "ca.cnf", *PAST]
        words += ["-cert", f"{signer}.pem", "-keyfile", f"{signer}.key"]
    else:
        words = ["x509", "-req", "-days", "2", "-copy_extensions", "copy"]
        by = ["-CA", f"{signer}.pem", "-CAkey", f"{signer}.key", "-CAcreateserial"]
        words += by if signer else ["-signkey", f"{name}.key"]
    context.run("openssl", *words, "-in", f"{name}.csr", "-out", f"{name}.pem", cwd=folder)
    return os.path.join(folder, f"{name}.pem")


def authority(context, *names):
    """A folder with an authority's certificate and the ones that it signed for `names`."""
    folder = context.path("folder")
    os.mkdir(folder)
    certificate(context, folder, "authority")
    for name in names:
        certificate(context, folder, name, "authority")
    return folder


def trusting(folder):
    """A client's context that trusts this authority. Python 3.13 and later are too strict by
    default for these certificates."""
    trusted = ssl.create_default_context(cafile=f"{folder}/authority.pem")
    trusted.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return trusted


def secure_server(context, form, program, folder, *more):
    """The server, which reads its certificates from `folder`, with more options for `soil run`;
    (child, address)."""
    inside, options = folder_of(context, "microvm", folder)
    tap = context.tap()
    child = context.soil(program, form, inside, tap=tap, options=[*options, *more])
    child.wait_line("ready")
    tap.wait_up()
    return child, tap.guest


@in_every_form(forms=FORMS)
def openssl_server(context, form):
    """cohttp-lwt-unix behind lwt_ssl, with the static OpenSSL: curl and `openssl s_client` verify
    its certificate; a megabyte goes each way."""
    folder = context.path("folder")
    os.mkdir(folder)
    path = certificate(context, folder, "soil.test")
    inside, options = folder_of(context, form, folder)
    words = ["8443", f"{inside}/soil.test.pem", f"{inside}/soil.test.key"]
    child, host = started(context, "http_server", form, *words, options=options)
    child.wait_line("ready")
    large = context.path("large")
    with open(large, "wb") as file:
        file.write(MEGABYTE)
    curl = ["curl", "-sS", "--cacert", path, "--resolve", f"soil.test:8443:{host}"]
    url = "https://soil.test:8443"
    answer = context.run(*curl, "--data-binary", f"@{large}", f"{url}/capitals").stdout
    assert answer.encode() == MEGABYTE.upper(), len(answer)
    answer = context.run(*curl, f"{url}/pieces", f"{url}/pieces").stdout
    assert answer == "one piece after another\n" * 2, answer
    words = ["-connect", f"{host}:8443", "-CAfile", path, "-verify_hostname", "soil.test"]
    done = context.run(
        *["openssl", "s_client", "-verify_return_error", "-ign_eof", *words],
        input="GET /other HTTP/1.0\r\n\r\n",
    )
    assert "TLSv1.3" in done.stdout and "Verify return code: 0 (ok)" in done.stdout, done.stdout
    assert "\nno /other\n" in done.stdout, done.stdout
    done = context.run("curl", "-sS", f"https://{host}:8443/", check=False)
    assert done.returncode == 60, done


@in_every_form(forms=FORMS)
def openssl_client(context, form):
    """The static OpenSSL verifies the certificates of `openssl s_server`: it accepts a valid one,
    and refuses one for another host, an expired one, and one of an unknown authority."""
    folder = context.path("folder")
    os.mkdir(folder)
    certificate(context, folder, "authority")
    certificate(context, folder, "good.test", "authority")
    certificate(context, folder, "late.test", "authority", past=True)
    certificate(context, folder, "alone.test")
    inside, options = folder_of(context, form, folder)
    tap = None if form == "process" else context.tap()
    names = ["good.test", "late.test", "alone.test"]
    for number, name in enumerate(names):
        words = ["-cert", f"{folder}/{name}.pem", "-key", f"{folder}/{name}.key", "-www"]
        server = context.child(["openssl", "s_server", "-accept", str(8443 + number), *words])
        server.wait_line("ACCEPT")
    words = [tap.host if tap else "127.0.0.1", f"{inside}/authority.pem"]
    for name, port in zip([*names, "other.test"], (8443, 8444, 8445, 8443), strict=True):
        words += [name, str(port)]
    child = context.soil(f"{PROGRAMS}tls_client.exe", form, *words, tap=tap, options=options)
    status, output = outcome(child, context)
    lines = output.splitlines()
    assert lines[0] == 'good.test: "HTTP/1.0 200 ok"', output
    for line, reason in zip(
        lines[1:], ("certificate has expired", "self.signed", "hostname mismatch"), strict=True
    ):
        assert re.search(reason, line), output
    assert status == 0, status


class WebSocket:
    """A WebSocket client (RFC 6455)."""

    def __init__(self, host, port, target="/"):
        self.socket = socket.create_connection((host, port), timeout=PATIENCE)
        self.input = self.socket.makefile("rb")
        key = base64.b64encode(os.urandom(16))
        self.socket.sendall(
            f"GET {target} HTTP/1.1\r\nHost: soil\r\nUpgrade: websocket\r\n".encode()
            + b"Connection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n"
        )
        lines = list(iter(self.input.readline, b"\r\n"))
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        assert lines[0].startswith(b"HTTP/1.1 101 "), lines
        assert any(base64.b64encode(digest) in line for line in lines), lines

    def send(self, opcode, payload):
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        size = len(payload)
        length = struct.pack("!BQ", 255, size) if size > 125 else struct.pack("!B", size | 128)
        self.socket.sendall(bytes([128 | opcode]) + length + mask + masked)

    def receive(self):
        first, size = self.input.read(2)
        if size > 125:
            size = int.from_bytes(self.input.read(2 if size == 126 else 8), "big")
        return first & 15, self.input.read(size)


@in_every_form(forms=FORMS)
def websockets(context, form):
    """websocket-lwt-unix answers eight clients: texts, 70,000 bytes in one frame, pings, the
    closing handshake."""
    child, host = started(context, "web_sockets", form, "8000")
    child.wait_line("ready")
    clients = [WebSocket(host, 8000) for _ in range(8)]
    for number, client in enumerate(clients):
        client.send(1, b"text of %d" % number)
    for number, client in enumerate(clients):
        assert client.receive() == (1, b"TEXT OF %d" % number)
    large = MEGABYTE[:70_000]
    for opcode, sent, answer in (
        (2, large, (2, large.upper())),
        (9, b"are you there", (10, b"are you there")),
        (1, b"", (1, b"")),
        (8, struct.pack("!H", 1000), (8, struct.pack("!H", 1000))),
    ):
        clients[3].send(opcode, sent)
        received = clients[3].receive()
        assert received == answer, (opcode, received[0], received[1][:100])
    for client in clients:
        client.input.close()
        client.socket.close()


def connected(host, port):
    """A connection as soon as the server listens."""
    until = time.monotonic() + PATIENCE
    while True:
        client = http.client.HTTPConnection(host, port, PATIENCE)
        try:
            client.connect()
            return client
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


@in_every_form(forms=FORMS)
def ocsigenserver(context, form):
    """ocsigenserver with a folder: a page, a missing one, a part of a file, three
    megabytes."""
    folder = context.path("folder")
    os.makedirs(os.path.join(folder, "below"))
    large = MEGABYTE * 3
    for name, data in (("below/page.html", b"<p>a page</p>\n"), ("large", large)):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
    # ocsigenserver asks findlib for extensions to load, none here; findlib requires its file.
    with open(os.path.join(folder, "findlib.conf"), "w") as file:
        file.write('path="/tmp"\ndestdir="/tmp"\n')
    inside, options = folder_of(context, form, folder)
    options += ["--env", f"OCAMLFIND_CONF={inside}/findlib.conf"]
    state = context.path("state") if form == "process" else "/tmp"
    os.mkdir(context.path("state"))
    child, host = started(context, "folder", form, "8000", inside, state, options=options)
    client = connected(host, 8000)
    for path, headers, status, body in (
        ("/below/page.html", {}, 200, b"<p>a page</p>\n"),
        ("/below/other.html", {}, 404, None),
        ("/large", {}, 200, large),
    ):
        client.request("GET", path, headers=headers)
        answer = client.getresponse()
        text = answer.read()
        assert answer.status == status, (path, answer.status, child.text)
        assert body is None or text == body, (path, len(text), text[:100])
    client.close()
    child.signal(signal.SIGTERM)
    child.finish(context.remaining())
    # An image finds its own host name in /etc/hosts.
    assert form == "process" or "Cannot determine" not in child.text, child.text


def database(context, host):
    """The test's own PostgreSQL server at this address; a function that starts it, again after its
    end. It refuses to run as root, and gets another user's number in its own namespace."""
    programs = glob.glob("/usr/lib/postgresql/*/bin")
    if not programs:
        raise Skip("PostgreSQL isn't installed; run: make setup")
    programs = max(programs, key=lambda path: int(path.split("/")[-2]))
    folder = context.path("data")
    # The user nobody, present in every Debian: initdb looks up its own user.
    user = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]
    words = ["-D", folder, "-U", "soil", "-A", "trust", "--no-sync", "--locale=C", "-E", "UTF8"]
    context.run(*user, f"{programs}/initdb", *words)
    with open(os.path.join(folder, "pg_hba.conf"), "a") as file:
        file.write("host all all 0.0.0.0/0 trust\n")
    words = ["-D", folder, "-F", "-h", host, "-c", "unix_socket_directories="]

    def start():
        server = context.child([*user, f"{programs}/postgres", *words])
        server.wait_line("database system is ready to accept connections")
        return server

    return start


@in_every_form(forms=FORMS)
def postgresql(context, form):
    """PG'OCaml and Debian's PostgreSQL: 200 statements with parameters, an error after which the
    connection works, a megabyte, and a connection that the server drops, after which the next one
    works."""
    tap = None if form == "process" else context.tap()
    host = tap.host if tap else "127.0.0.1"
    database(context, host)()
    child = context.soil(f"{PROGRAMS}database_client.exe", form, host, "5432", tap=tap)
    status, output = outcome(child, context)
    assert output.splitlines() == [
        "rows: 200, sum of the squares: 2686700",
        "error 23505, and then 40000",
        "a megabyte: 1000000",
        "dropped",
        "alive: false",
        "connected again, rows: 200",
    ], output
    assert status == 0, status


@test("caqti")
def caqti(context):
    """Caqti and libpq, as a process: 200 statements, an error, a connection that the server
    drops."""
    database(context, "127.0.0.1")()
    child = context.soil(f"{PROGRAMS}caqti_client.exe", "process", "127.0.0.1", "5432")
    status, output = outcome(child, context)
    assert output.splitlines() == [
        "rows: 200, sum of the squares: 2686700",
        "an error, and then rows: 200",
        "dropped",
        "connected again, rows: 200",
    ], output
    assert status == 0, status


@in_every_form(forms=FORMS)
def resource_pool(context, form):
    """200 tasks share 10 connections of PG'OCaml by soil-work.resource_pool while PostgreSQL restarts:
    each inserts its rows, tasks that give up in a use close its connection, and few attempts to
    connect meet the absent server."""
    tap = context.tap()
    start = database(context, tap.host)
    server = start()
    child = context.soil(f"{PROGRAMS}pool_client.exe", form, tap.host, "5432", tap=tap)
    child.wait_line("half")
    # A fast shutdown: it ends the sessions.
    server.signal(signal.SIGINT)
    server.finish(context.remaining())
    time.sleep(1)
    start()
    status, output = outcome(child, context)
    assert output.splitlines()[-5:] == [
        "every row: true",
        "at most 10 connections",
        "interrupted: true",
        "fewer attempts than tasks: true",
        "in use: 0, waiting: 0",
    ], output
    assert status == 0, status


@in_every_form(forms=FORMS)
def jobs_in_postgresql(context, form):
    """A queue of soil-work.jobs whose records are rows of PostgreSQL: the first run is killed half way,
    the next one enqueues the same jobs and ends when each has its one effect."""
    tap = context.tap()
    database(context, tap.host)()
    program = f"{PROGRAMS}jobs_client.exe"
    child = context.soil(program, form, tap.host, "5432", tap=tap)
    child.wait_line("half")
    child.stop()
    child = context.soil(program, form, tap.host, "5432", tap=tap)
    status, output = outcome(child, context)
    assert output.splitlines()[-2:] == ["keys: 100, dead: 0", "effects: 100"], output
    assert status == 0, status
