"""Soil's TLS against OpenSSL, curl, GnuTLS and Python's ssl, and against peers that break it."""

import re
import socket
import ssl
import subprocess
import threading

from harness.console import PATIENCE
from harness.context import outcome

from cases.network import in_every_form
from cases.services import (
    AUTHORITY,
    authority,
    certificate,
    folder_of,
    secure_server,
    trusting,
)

PROGRAMS = "tests/programs/tls/"
FORMS = ("process", "microvm")
LARGE = ("abcdefghijklmnopqrstuvwxyz" * 38_462)[:1_000_000]


def certificates(context):
    """A folder with certificates for several names by an authority, and a self-signed one."""
    folder = authority(context, "soil.test", "other.test", "new.test", "client.test")
    certificate(context, folder, "alone.test")
    return folder


def server(context, form):
    folder = certificates(context)
    child, host = secure_server(context, form, f"{PROGRAMS}tls_server.exe", folder)
    return child, host, folder


@in_every_form(forms=FORMS)
def tls_server(context, form):
    """curl and `openssl s_client` verify the certificate and get their pages, in TLS 1.2 and 1.3,
    by ALPN, resumed by tickets and by identifier; a megabyte goes each way; renegotiation is
    refused; keys are updated; certificates are replaced while the server runs."""
    _, host, folder = server(context, form)
    names = [f"{name}:{port}" for name in ("soil.test", "other.test") for port in (8443, 8445)]
    hosts = [word for name in names for word in ("--resolve", f"{name}:{host}")]
    curl = ["curl", "-sS", "--cacert", f"{folder}/authority.pem", *hosts]
    url = "https://soil.test:8443"
    facts = context.run(*curl, f"{url}/facts", f"{url}/facts").stdout
    assert facts == "1.3 http/1.1 full -\n" * 2, facts
    facts = context.run(*curl, "--no-alpn", "https://other.test:8445/facts").stdout
    assert facts == "1.2 - full -\n", facts
    large = context.path("large")
    with open(large, "w") as file:
        file.write(LARGE)
    for port in (8443, 8445):
        got = context.run(*curl, f"https://soil.test:{port}/large").stdout
        assert got == LARGE, len(got)
        words = ["--data-binary", f"@{large}", f"https://soil.test:{port}/"]
        got = context.run(*curl, *words).stdout
        assert got == LARGE.upper(), len(got)
    client = ["openssl", "s_client", "-CAfile", f"{folder}/authority.pem", "-verify_return_error"]
    client += ["-verify_hostname", "soil.test", "-servername", "soil.test", "-connect"]
    kept = context.path("session")
    get = "GET /facts HTTP/1.0\r\n\r\n"
    # By tickets, and in TLS 1.2 also by the session's identifier.
    for port, version, *words in ((8443, "1.3"), (8445, "1.2"), (8445, "1.2", "-no_ticket")):
        for how, option in (("full", "-sess_out"), ("resumed", "-sess_in")):
            command = [*client, f"{host}:{port}", option, kept, *words]
            dialog(context, command, (get, f"{version} - {how} -"))
    # "R" requests a new handshake in TLS 1.2, "K" new keys of both ends in TLS 1.3.
    dialog(context, [*client, f"{host}:8445"], (get, "1.2 - full"), ("R\n", "no renegotiation"))
    update = get.replace("facts", "update")
    steps = (("K\n", "KEYUPDATE"), (get, "1.3 - full -"), (update, "updated"), (get, "1.3 - full"))
    dialog(context, [*client, f"{host}:8443"], *steps)
    assert context.run(*curl, f"{url}/reload").stdout == "reloaded\n"
    done = context.run(*curl, f"{url}/facts", check=False)
    assert done.returncode == 60 and "soil.test" in done.stderr, done
    resolve = ["--resolve", f"new.test:8443:{host}"]
    facts = context.run(*curl, *resolve, "https://new.test:8443/facts").stdout
    assert facts == "1.3 http/1.1 full -\n", facts


def dialog(context, words, *steps):
    """Runs a client; sends it the text of each step, and waits for a line with the answer."""
    child = context.child(words, stdin=subprocess.PIPE)
    for text, answer in steps:
        begin = len(child.lines)
        child.process.stdin.write(text.encode())
        child.process.stdin.flush()
        child.wait_line(answer, after=begin)
    child.stop()


@in_every_form(forms=FORMS)
def tls_clients_certificate(context, form):
    """A server that requests certificates names the client that shows one, to curl, GnuTLS and
    Python; it refuses a client without, and one with a self-signed certificate."""
    child, host, folder = server(context, form)
    resolve = ["--resolve", f"soil.test:8444:{host}", "--cacert", f"{folder}/authority.pem"]
    curl = ["curl", "-sS", *resolve, "https://soil.test:8444/facts"]
    own = ["--cert", f"{folder}/client.test.pem", "--key", f"{folder}/client.test.key"]
    facts = context.run(*curl, *own).stdout
    assert facts == "1.3 http/1.1 full CN=client.test\n", facts
    gnutls = ["gnutls-cli", "--x509cafile", f"{folder}/authority.pem", "--alpn", "http/1.1"]
    gnutls += ["--x509certfile", f"{folder}/client.test.pem", "--sni-hostname", "soil.test"]
    gnutls += ["--x509keyfile", f"{folder}/client.test.key", "--verify-hostname", "soil.test"]
    for versions, version in (("NORMAL", "1.3"), ("NORMAL:-VERS-TLS1.3", "1.2")):
        words = [*gnutls, "--priority", versions, "-p", "8444", host]
        get = "GET /facts HTTP/1.1\r\n\r\n"
        dialog(context, words, (get, f"{version} http/1.1 full CN=client.test"))
    done = context.run(*curl, check=False)
    assert done.returncode == 56 and "certificate required" in done.stderr, done
    child.wait_line("failed: peer sent no certificates")
    own = ["--cert", f"{folder}/alone.test.pem", "--key", f"{folder}/alone.test.key"]
    assert context.run(*curl, *own, check=False).returncode == 56
    _, line = child.wait_line("failed: the certificate of CN=alone.test (serial ")
    assert line.endswith(" signed itself and isn't among the trusted ones"), line
    own = ["--cert", f"{folder}/other.test.pem", "--key", f"{folder}/other.test.key"]
    assert context.run(*curl, *own).stdout == "1.3 http/1.1 full CN=other.test\n"


def hello(host, folder, name="soil.test"):
    """The first message of Python's client."""
    trusted = trusting(folder)
    out = ssl.MemoryBIO()
    session = trusted.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def last(connection):
    """All bytes until the connection ends."""
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


@in_every_form(forms=FORMS)
def tls_hostile_clients(context, form):
    """Clients that speak no TLS, send oversized records, or stop in the middle of the handshake get
    an alert or are dropped, each with its reason; stalled ones are dropped at their time limit, and
    others are served meanwhile."""
    child, host, folder = server(context, form)
    record = hello(host, folder)

    def connect(port=8443):
        return socket.create_connection((host, port), PATIENCE)

    def refused(data, reason):
        with connect() as connection:
            connection.sendall(data)
            alert = last(connection)
            # A fatal alert, in a record of its own, or nothing.
            assert alert[-7:-1] in (b"\x15\x03\x03\x00\x02\x02", b""), alert
        child.wait_line(f"failed: {reason}")

    refused(b"GET / HTTP/1.1\r\nHost: soil.test\r\n\r\n", "the peer doesn't speak TLS")
    refused(b"\x16\x03\x01\xff\xff", "the peer sent a record of more than 16,384")
    # A handshake message that claims 16 MiB.
    refused(
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",
        "the peer sent a handshake message of more than 65,535",
    )
    stalled = []
    for length in (0, 1, 5, 6, len(record) // 2, len(record) - 1, len(record)):
        connection = connect(8446)
        connection.sendall(record[:length])
        stalled.append(connection)
    resolve = ["--resolve", f"soil.test:8443:{host}", "--cacert", f"{folder}/authority.pem"]
    facts = context.run("curl", "-sS", *resolve, "https://soil.test:8443/facts").stdout
    assert facts == "1.3 http/1.1 full -\n", facts
    for connection in stalled:
        last(connection)
        connection.close()
    # A client that ends in the middle.
    with connect() as connection:
        connection.sendall(record[:100])
        connection.shutdown(socket.SHUT_WR)
        last(connection)
    child.wait_line("failed: the connection ended in the handshake")
    assert len(re.findall("failed: timed out", child.text)) == len(stalled), child.text


@in_every_form(forms=FORMS)
def tls_half_handshakes(context, form):
    """525 strangers with an unfinished ClientHello of 64 KiB are refused, and 525 waiting with one
    of 20 KiB hold a part of the memory: a handshake succeeds meanwhile."""
    child, host, folder = server(context, form)
    resolve = ["--resolve", f"soil.test:8443:{host}", "--cacert", f"{folder}/authority.pem"]

    def works():
        facts = context.run("curl", "-sS", *resolve, "https://soil.test:8443/facts").stdout
        assert facts == "1.3 http/1.1 full -\n", facts

    record = b"\x16\x03\x01\x40\x00"
    begin = b"\x01\x00\xf0\x00" + bytes(16380)
    long = record + begin + (record + bytes(16384)) * 2 + record + bytes(16000)
    for flood in (long, (record + begin + record)[: 20 << 10].ljust(20 << 10, b"\0")):
        strangers = []
        for _ in range(525):
            connection = socket.create_connection((host, 8443), PATIENCE)
            try:
                connection.sendall(flood)
            except ConnectionError:
                pass  # refused already
            strangers.append(connection)
        works()
        if flood is long:
            for connection in strangers:
                last(connection)
        for connection in strangers:
            connection.close()
        works()
    while child.text.count("failed: the peer sent a ClientHello of more than 24 KiB") < 525:
        child.wait_line("failed", after=len(child.lines))
    # A machine of 128 MiB has room for 230 of them; the host for all.
    if form != "process":
        child.wait_line("failed: too many handshakes are in progress")


@in_every_form(forms=FORMS)
def tls_client(context, form):
    """The client accepts the servers of OpenSSL and GnuTLS in both versions, shows its certificate
    and resumes; it refuses a certificate for another host, an expired one, a self-signed one, and
    one on the authority's revocation list, each with the reason; it abandons servers that stall,
    that end in the handshake, and that speak no TLS."""
    folder = certificates(context)
    certificate(context, folder, "late.test", "authority", past=True)
    certificate(context, folder, "revoked.test", "authority")
    with open(f"{folder}/ca.cnf", "w") as file:
        file.write(AUTHORITY.replace("[names]", "crlnumber = crlnumber\n[names]"))
    with open(f"{folder}/crlnumber", "w") as file:
        file.write("01\n")
    ca = ["openssl", "ca", "-batch", "-config", "ca.cnf", "-cert", "authority.pem"]
    ca += ["-keyfile", "authority.key"]
    context.run(*ca, "-revoke", "revoked.test.pem", cwd=folder)
    context.run(*ca, "-gencrl", "-crldays", "2", "-out", "revoked.crl", cwd=folder)
    tap = context.tap()
    port = 8443
    words = []

    def started(name, *options):
        nonlocal port
        line = ["-cert", f"{folder}/{name}.pem", "-key", f"{folder}/{name}.key", "-www"]
        command = ["openssl", "s_server", "-accept", f"{tap.host}:{port}", *line, *options]
        context.child(command).wait_line("ACCEPT")
        port += 1
        return port - 1

    ca = f"{folder}/authority.pem"
    for name, option in (("soil.test", "-tls1_3"), ("other.test", "-tls1_2")):
        at = started(name, option, "-Verify", "1", "-CAfile", ca, "-verify_return_error")
        words += [name, at] * 2
    line = ["--x509certfile", f"{folder}/new.test.pem", "--http", "--x509cafile", ca]
    line += ["--x509keyfile", f"{folder}/new.test.key", "--require-client-cert"]
    gnutls = context.child(["gnutls-serv", "-p", str(port), *line])
    gnutls.wait_line("listening on IPv4")
    words += ["new.test", port]
    port += 1
    good = 8443
    words += ["wrong.test", good]
    for name in ("late.test", "alone.test", "revoked.test"):
        words += [name, started(name)]
    behaviours = (b"", None, b"HTTP/1.1 400 Bad Request\r\n\r\n")
    sockets = []
    for behaviour in behaviours:
        listener = socket.create_server((tap.host, port))
        sockets.append(listener)
        threading.Thread(target=behave, args=(listener, behaviour), daemon=True).start()
        words += ["silent.test" if behaviour == b"" else "soil.test", port]
        port += 1
    inside, options = folder_of(context, "microvm", folder)
    child = context.soil(
        f"{PROGRAMS}tls_client.exe", form, inside, tap.host, *words, tap=tap, options=options
    )
    status, output = outcome(child, context)
    lines = output.splitlines()
    date = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    of = r"certificate: the certificate of CN=%s \(serial \w+, issued by CN=%s\) "
    expected = [
        "soil.test: 1.3 full HTTP/1.0 200 ok",
        "soil.test: 1.3 resumed HTTP/1.0 200 ok",
        "other.test: 1.2 full HTTP/1.0 200 ok",
        "other.test: 1.2 resumed HTTP/1.0 200 ok",
        "new.test: 1.3 full HTTP/1.0 200 OK",
        "wrong.test: "
        + of % ("soil.test", "authority")
        + 'isn\'t for "wrong.test": it is for soil.test',
        "late.test: "
        + of % ("late.test", "authority")
        + f"has expired on 2020-02-01 00:00:00 UTC; it is {date} now",
        "alone.test: "
        + of % ("alone.test", "alone.test")
        + "signed itself and isn't among the trusted ones",
        "revoked.test: " + of % ("revoked.test", "authority") + "or one of its issuers' is revoked",
        "silent.test: timed out",
        "soil.test: error: the connection ended in the handshake",
        r"soil.test: tls: the peer doesn't speak TLS \(what it sent is no record\)",
    ]
    assert len(lines) == len(expected), output
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line), f"{line}\n{output}"
    assert status == 0, status


def behave(listener, answer):
    """Serves one client: with nothing at all, not even an end (b""), with an end (None), or with an
    answer that isn't TLS."""
    connection, _ = listener.accept()
    if answer == b"":
        last(connection)
    connection.recv(4096)
    if answer:
        connection.sendall(answer)
        last(connection)
    connection.close()
