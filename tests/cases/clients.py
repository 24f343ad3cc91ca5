"""Who the client is: the PROXY protocol, X-Forwarded-For, Forwarded and limits of rates, with
HAProxy, nginx, curl and raw sockets in front of programs/clients."""

import contextlib
import os
import shutil
import socket
import struct
import time

from cases.http import Raw
from cases.network import in_every_form
from cases.proxy import SETUP
from cases.services import authority, folder_of, trusting
from harness.console import PATIENCE
from harness.context import FORMS, Skip

PROGRAM = "tests/programs/clients/clients.exe"
TWO_FORMS = FORMS[:2]
CLIENT = "127.0.0.9"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def server(context, form):
    """The program, its TAP, whose host it trusts, and the folder of its certificate."""
    folder = authority(context, "soil.test")
    inside, options = folder_of(context, "microvm", folder)
    tap = context.tap()
    options = [*options, "--log", "info"]
    child = context.soil(PROGRAM, form, inside, f"{tap.host}/32", tap=tap, options=options)
    child.wait_line("ready")
    tap.wait_up()
    return child, tap, folder


def curl(context, *words):
    """A response to the client at its address on the loopback."""
    return context.run("curl", "-sS", "--interface", CLIENT, *words).stdout


def tcp(source, port):
    """The answer of a TCP service to "data"."""
    address = ("127.0.0.1", port)
    with socket.create_connection(address, PATIENCE, source_address=(source, 0)) as connection:
        connection.sendall(b"data")
        connection.shutdown(socket.SHUT_WR)
        return connection.makefile("rb").read().decode()


HAPROXY = """
global
  log stderr format raw local0 warning
defaults
  mode tcp
  timeout connect 60s
  timeout client 300s
  timeout server 300s
listen tcp1
  bind 127.0.0.1:9001
  server a {guest}:7000 send-proxy
listen tcp2
  bind 127.0.0.1:9002
  server a {guest}:7000 send-proxy-v2 proxy-v2-options crc32c
listen tls_ended
  bind 127.0.0.1:9003 ssl crt {folder}/both.pem alpn http/1.1
  server a {guest}:7000 send-proxy-v2-ssl proxy-v2-options crc32c,ssl,authority,unique-id
listen http1
  bind 127.0.0.1:9004
  server a {guest}:8000 send-proxy
listen http2
  bind 127.0.0.1:9005
  server a {guest}:8000 send-proxy-v2 check check-send-proxy inter 1s
listen tls_passed
  bind 127.0.0.1:9006
  server a {guest}:8443 send-proxy-v2
listen six
  bind :::9007 v6only
  server a {guest}:8000 send-proxy-v2
listen limited
  bind 127.0.0.1:9008
  server a {guest}:8005 send-proxy
listen checked
  bind 127.0.0.1:9010
  server a {guest}:7000 send-proxy-v2 check check-send-proxy inter 500ms
frontend fields
  mode http
  bind 127.0.0.1:9009
  option forwardfor
  http-request set-header X-Forwarded-Proto https
  default_backend fields
backend fields
  mode http
  server a {guest}:8002
"""


def haproxy(context, tap, folder):
    if not shutil.which("haproxy"):
        raise Skip("haproxy isn't installed; install it: apt-get install haproxy")
    with open(f"{folder}/both.pem", "w", encoding="ascii") as both:
        for name in "pem", "key":
            with open(f"{folder}/soil.test.{name}", encoding="ascii") as part:
                both.write(part.read())
    path = context.path("haproxy.cfg")
    with open(path, "w", encoding="ascii") as file:
        file.write(HAPROXY.format(guest=tap.guest, folder=folder))
    # With -db it stays, and listens before it prints that.
    context.child(["haproxy", "-db", "-f", path])
    wait_for(9010)


def wait_for(port):
    """Until something listens on `port`; a connection without a byte."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < until, f"nothing listens on port {port}"
            time.sleep(0.05)


@in_every_form(forms=TWO_FORMS, limit=60)
def clients_behind_haproxy(context, form):
    """HAProxy sends the PROXY protocol in both versions, with TLS's fields and checksums, for IPv4
    and IPv6, before TLS, and for its own checks; and X-Forwarded-For: the server knows the client,
    and so does its log."""
    child, tap, folder = server(context, form)
    haproxy(context, tap, folder)
    assert tcp(CLIENT, 9001) == f"{CLIENT} 127.0.0.1:9001 - - - data"
    assert tcp(CLIENT, 9002) == f"{CLIENT} 127.0.0.1:9002 - - - data"
    tls = ["--cacert", f"{folder}/authority.pem", "--resolve", "soil.test:9006:127.0.0.1"]
    tls_client = trusting(folder)
    tls_client.set_alpn_protocols(["http/1.1"])
    plain = socket.create_connection(("127.0.0.1", 9003), PATIENCE, source_address=(CLIENT, 0))
    with tls_client.wrap_socket(plain, server_hostname="soil.test"):
        child.wait_line(f"header {CLIENT} 127.0.0.1:9003 soil.test http/1.1 TLSv1.3")
    for port in 9004, 9005:
        got = curl(context, f"http://127.0.0.1:{port}/")
        assert got.startswith(f"{CLIENT}:"), (port, got)
    got = curl(context, *tls, "https://soil.test:9006/")
    assert got.startswith(f"{CLIENT}:"), got
    got = context.run("curl", "-sS", "http://[::1]:9007/").stdout
    assert got.startswith("[::1]:"), got
    # HAProxy adds the client behind what the client has sent.
    spoofed = ["-H", "X-Forwarded-For: 8.8.8.8", "-H", "Forwarded: for=8.8.8.8"]
    got = curl(context, *spoofed, "http://127.0.0.1:9009/")
    assert got == f"{CLIENT} https 127.0.0.1:9009\n", got
    child.wait_line(f"log {CLIENT} - - [")
    child.wait_line("log ::1 - - [")
    child.wait_line("header local")
    # Complete lines only: the console may be in the middle of one.
    logged = [line for _, line in child.lines if line.startswith("log ")]
    assert all(line.split()[1] in (CLIENT, "::1") for line in logged), logged


NGINX = """load_module {modules}/ngx_stream_module.so;
daemon off;
master_process off;
pid nginx.pid;
error_log stderr notice;
events {{}}
stream {{
  server {{
    listen 127.0.0.1:9101;
    proxy_pass {guest}:8000;
    proxy_protocol on;
  }}
}}
http {{
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Proto $scheme;
  proxy_set_header X-Forwarded-Host $http_host;
  proxy_set_header Forwarded $http_forwarded,$client;
  server {{
    listen 127.0.0.1:9102;
    set $client "for=\\"$remote_addr:$remote_port\\";proto=http;host=\\"$http_host\\"";
    location / {{ proxy_pass http://{guest}:8002; }}
    location /forwarded {{ proxy_pass http://{guest}:8003; }}
    location /limited {{ proxy_pass http://{guest}:8004; }}
  }}
}}
"""


def nginx(context, tap):
    folder = context.path("nginx")
    os.mkdir(folder)
    binary = context.run(SETUP, "nginx").stdout.strip()
    modules = os.path.join(os.path.dirname(binary), "../lib/nginx/modules")
    with open(os.path.join(folder, "nginx.conf"), "w", encoding="ascii") as file:
        file.write(NGINX.format(guest=tap.guest, modules=os.path.realpath(modules)))
    child = context.child([binary, "-p", folder, "-c", "nginx.conf"])
    child.wait_line('using the "epoll" event method')


@in_every_form(forms=TWO_FORMS, limit=60)
def clients_behind_nginx(context, form):
    """nginx sends the PROXY protocol, X-Forwarded-For and Forwarded: the server and its log know
    the client, who can't pretend to be another; a client's rate is limited, and not another's
    behind the same proxy."""
    child, tap, _ = server(context, form)
    nginx(context, tap)
    got = curl(context, "http://127.0.0.1:9101/")
    assert got.startswith(f"{CLIENT}:"), got
    spoofed = ["-H", "X-Forwarded-For: 8.8.8.8", "-H", 'Forwarded: for="8.8.8.8']
    spoofed += ["-H", "X-Forwarded-Proto: https", "-H", "X-Forwarded-Host: elsewhere"]
    for words in [], spoofed:
        for path in "", "forwarded":
            got = curl(context, *words, f"http://127.0.0.1:9102/{path}")
            assert got == f"{CLIENT} http 127.0.0.1:9102\n", (path, got)
    # Without a proxy the fields of a client that isn't in the trusted network count nothing: here
    # the host is, and its fields do.
    got = context.run("curl", "-sS", *spoofed, f"http://{tap.guest}:8002/").stdout
    assert got == "8.8.8.8 https elsewhere\n", got
    limited = ["-o", "/dev/null", "-w", "%{http_code} %header{retry-after}\\n"]
    url = "http://127.0.0.1:9102/limited"
    got = [curl(context, *spoofed, *limited, url) for _ in range(4)]
    assert got[:3] == ["200 \n"] * 3, got
    status, after = got[3].split()
    assert status == "429" and 0 < int(after) <= 1000, got
    other = context.run("curl", "-sS", "--interface", "127.0.0.10", *limited, url).stdout
    assert other == "200 \n", other
    child.wait_line(f"log {CLIENT} - - [")


def v1(source="192.0.2.7", port=4711):
    return f"PROXY TCP4 {source} 192.0.2.8 {port} 80\r\n".encode()


def v2(body, command=0x21, kind=0x11):
    return SIGNATURE + struct.pack(">BBH", command, kind, len(body)) + body


ADDRESSES = bytes([192, 0, 2, 7, 192, 0, 2, 8]) + struct.pack(">HH", 4711, 80)
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
REFUSED = (
    (REQUEST, "no header"),
    (b"PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\n" + REQUEST, "CR or LF alone"),
    (b"PROXY TCP6 192.0.2.7 192.0.2.8 4711 80\r\n", "not a line of version 1"),
    (b"PROXY " + b"x" * 200, "more than 107 bytes"),
    (v2(ADDRESSES, command=0x22), "an unknown command"),
    (v2(ADDRESSES[:-1]), "too short for its addresses"),
    (v2(ADDRESSES + b"\x03\0\4abcd"), "a wrong checksum"),
    (v2(b"\0" * 60_000), "more than 4096 bytes"),
    (v1()[:-1], "the connection ended before the end of the header"),
)  # fmt: skip


@in_every_form(forms=TWO_FORMS, limit=60)
def clients_by_header(context, form):
    """curl sends a header, raw sockets send it byte by byte, and what isn't one ends the connection
    with the reason in the log; from a peer that isn't trusted it is no header but a bad request;
    a client behind a header has its own limit of rate."""
    child, tap, _ = server(context, form)
    got = context.run("curl", "-sS", "--haproxy-protocol", f"http://{tap.guest}:8000/").stdout
    assert got.startswith(f"{tap.host}:"), got
    for header in v1(), v2(ADDRESSES), v2(ADDRESSES + b"\4\0\2xx"):
        with contextlib.closing(Raw(tap.guest)) as raw:
            raw.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in header:
                raw.send(bytes([byte]))
            raw.send(REQUEST * 2)
            for _ in range(2):
                assert raw.response()[2] == b"192.0.2.7:4711\n"
    for header in b"PROXY UNKNOWN\r\n", v2(b"", command=0x20, kind=0), v2(b"\0" * 216, kind=0x31):
        with contextlib.closing(Raw(tap.guest)) as raw:
            raw.send(header + REQUEST)
            body = raw.response()[2]
            assert body.startswith(tap.host.encode() + b":"), body
    for text, _ in REFUSED:
        with contextlib.closing(Raw(tap.guest)) as raw:
            with contextlib.suppress(OSError):
                raw.send(text)
                raw.socket.shutdown(socket.SHUT_WR)
            assert raw.ended(), text
    with contextlib.closing(Raw(tap.guest, 8001)) as raw:
        raw.send(v1() + REQUEST)
        assert raw.response()[0] == 400
        assert raw.ended()
    with contextlib.closing(Raw(tap.guest, 8001)) as raw:
        raw.send(REQUEST)
        assert raw.response()[2].startswith(tap.host.encode() + b":")
    for source, statuses in (("192.0.2.7", [200] * 3 + [429]), ("192.0.2.9", [200])):
        for status in statuses:
            with contextlib.closing(Raw(tap.guest, 8005)) as raw:
                raw.send(v1(source) + REQUEST)
                assert raw.response()[0] == status, source
    for _, reason in REFUSED:
        child.wait_line(reason)
