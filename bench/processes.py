"""The process form against the same program on plain Linux sockets.

Soil's process owns a TAP; the plain program listens in its own network namespace at the other end
of a veth pair, so both are reached over an interface. Soil's process on Linux's own sockets
replaces the plain program there.
"""

import os
import subprocess

import peer
import quota
from boot import LINUX, ROOT, built
from harness.console import Child, cpu_seconds
from harness.tap import Tap, ip
from measure import Figure
from network import h2load, load, wrk

PROCESS = "_build/default/bench/programs/soil/serve.exe"
PAGE = "_build/default/bench/programs/soil/page.exe"
PAGES = "_build/default/bench/programs/soil/pages.exe"
BESIDE = "_build/default/bench/programs/soil/beside.exe"
HANDSHAKES = "_build/default/bench/programs/soil/handshakes.exe"
GATEWAY = "_build/default/examples/servers/gateway.exe"
# One worker, no log, and connections that stay open as long as the client wants. The answer has as
# many bytes as PAGE's.
NGINX = """daemon off;
master_process off;
pid %(name)s.pid;
error_log stderr notice;
events { worker_connections 1024; }
http {
  access_log off;
  server_tokens off;
  default_type "";
  keepalive_requests 1000000000;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  %(http)s
}
"""
SERVER = """server {
    listen %s;
    location / { return 200 "xxxxxxxxxxxxxxx"; }
  }"""
# What the gateway does, too: connections to the backend stay open, and the client's address is
# added.
PROXY = """upstream backend { server %(backend)s; keepalive 100; keepalive_requests 1000000000; }
  server {
    listen %(listen)s;
    location / {
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $host;
    }
  }"""


def prepare():
    folder = peer.work("nginx")
    os.makedirs(folder, exist_ok=True)
    backend = f"{Linux.HOST}:8080"
    for name, http in (
        ("nginx", SERVER % 80),
        ("backend", SERVER % backend),
        ("nginx2", SERVER % "80 http2"),
        ("workers", SERVER % "80 reuseport"),
        ("proxy", PROXY % {"listen": "80", "backend": backend}),
        ("proxy2", PROXY % {"listen": "80 http2", "backend": backend}),
    ):
        with open(os.path.join(folder, name + ".conf"), "w", encoding="ascii") as file:
            text = NGINX % {"name": name, "http": http}
            if name == "workers":
                text = text.replace("master_process off", "worker_processes 2")
            file.write(text)
    peer.set_up("nginx")


# The numbers of connections of the figures for one request.
SOCKETS_CONNECTIONS = (1, 8, 64, 512)
PAGE_CONNECTIONS = (1, 8, 12, 64, 128, 512)


class Soil:
    """Runs `serve.exe MODE PORT` in the process form, after the words of `prefix`; `.host` is its
    address."""

    def __init__(self, mode, port, prefix=()):
        self.tap = Tap(4)
        self.words = [*prefix, built(PROCESS), mode, str(port)]
        self.host = self.tap.guest

    def __enter__(self):
        self.tap.__enter__()
        environment = {
            "SOIL_NET": f"tap={self.tap.name}",
            "SOIL_IP": self.tap.guest_cidr,
            "SOIL_GATEWAY": self.tap.host,
        }
        self.child = Child(self.words, env=environment)
        self.ready_ms = self.child.wait_line("ready")[0] * 1000
        return self

    def __exit__(self, *_):
        self.child.stop()
        self.tap.__exit__()


class Linux:
    """Runs the plain program in its own network namespace."""

    HOST, GUEST = "10.63.0.1", "10.63.0.2"
    PROGRAM, ENVIRONMENT = LINUX + "serve.exe", {}
    READY = "ready"

    def __init__(self, *words, prefix=()):
        self.words = [*prefix, built(self.PROGRAM), *map(str, words)]
        self.host = self.GUEST

    def __enter__(self):
        script = f'read _; ip addr add {self.GUEST}/24 dev peer; ip link set peer up; exec "$@"'
        command = ["unshare", "--net", "--", "sh", "-c", script, "sh", *self.words]
        self.child = Child(command, stdin=subprocess.PIPE, env=self.ENVIRONMENT)
        wait_for_namespace(self.child.pid)
        ip(
            "link",
            "add",
            "peerhost",
            "type",
            "veth",
            "peer",
            "name",
            "peer",
            "netns",
            str(self.child.pid),
        )
        ip("addr", "add", self.HOST + "/24", "dev", "peerhost")
        ip("link", "set", "peerhost", "up")
        self.child.process.stdin.write(b"\n")
        self.child.process.stdin.close()
        self.child.wait_line(self.READY)
        return self

    def __exit__(self, *_):
        self.child.stop()
        subprocess.run(["ip", "link", "del", "peerhost"], capture_output=True, check=False)


class Sockets(Linux):
    """Runs Soil's process on Linux's own sockets, in the plain program's place."""

    PROGRAM, ENVIRONMENT = PROCESS, {"SOIL_NET": "host"}


class Page(Sockets):
    """Runs a server of soil-http on Linux's own sockets."""

    PROGRAM = PAGE


class Pages(Sockets):
    """Runs the same in several domains."""

    PROGRAM = PAGES


class Beside(Sockets):
    """Runs the same beside a domain that computes or is idle."""

    PROGRAM = BESIDE


class Gateway(Sockets):
    """Runs the example of a proxy on Linux's own sockets."""

    PROGRAM, READY = GATEWAY, "listens on port"


def nginx(name):
    """The command of nginx with this configuration. Set-up unpacked it for this user."""
    return [peer.set_up("nginx"), "-p", peer.work("nginx"), "-c", name + ".conf"]


class Nginx(Linux):
    """Runs nginx in the plain program's place."""

    READY = 'using the "epoll" event method'

    def __init__(self, name="nginx"):
        self.words = nginx(name)
        self.host = self.GUEST


def wait_for_namespace(pid):
    """Returns after process `pid` has left this network namespace."""
    own = os.readlink("/proc/self/ns/net")
    while os.readlink(f"/proc/{pid}/ns/net") == own:
        pass


def start(options, suffix, prefix):
    """From the start of the process until it listens."""
    figure = Figure("host_start_first_line_ms" + suffix, "ms", "lower")
    for _ in range(2 * options.pairs):
        with Soil("echo", 7, prefix) as soil:
            ours = soil.ready_ms
        with Child([*prefix, built(LINUX + "serve.exe"), "echo", "7"]) as child:
            figure.add(ours, child.wait_line("ready")[0] * 1000)
    return [figure]


def http(options, suffix, prefix):
    figure = Figure("host_http_rps_c8" + suffix, "requests/s", "higher")
    for _ in range(options.pairs):
        with Soil("http", 80, prefix) as soil:
            ours = wrk(soil.host, 8, options.seconds)[0]
        with Linux("http", 80, prefix=prefix) as linux:
            figure.add(ours, wrk(linux.host, 8, options.seconds)[0])
    return [figure]


def tcp_out(options, suffix, prefix):
    figure = Figure("host_tcp_out_gbps" + suffix, "Gbit/s", "higher")
    for _ in range(options.pairs):
        with Soil("chargen", 7, prefix) as soil:
            ours = load("out", soil.host, 7, options.seconds)["gbps"]
        with Linux("chargen", 7, prefix=prefix) as linux:
            figure.add(ours, load("out", linux.host, 7, options.seconds)["gbps"])
    return [figure]


def requests(server, connections, seconds):
    """Requests per second with so many connections, and the server's processor time for one in µs,
    which other load on the machine changes less."""
    with server:
        before = cpu_seconds(server.child.pid)
        rate = wrk(server.host, connections, seconds)[0]
        used = cpu_seconds(server.child.pid) - before
        return rate, used / (rate * max(1, round(seconds))) * 1e6


def each_request(options, name, numbers, soil, peer):
    """Rates, and processor time for each request, with these numbers of connections."""
    figures = []
    for connections in numbers:
        rate = Figure(f"{name}_rps_c{connections}", "requests/s", "higher")
        cost = Figure(f"{name}_cpu_us_c{connections}", "us", "lower")
        for _ in range(options.pairs):
            ours = requests(soil(), connections, options.seconds)
            theirs = requests(peer(), connections, options.seconds)
            rate.add(ours[0], theirs[0])
            cost.add(ours[1], theirs[1])
        figures += [rate, cost]
    return figures


def sockets_http(options):
    soil, peer = lambda: Sockets("http", 80), lambda: Linux("http", 80)
    return each_request(options, "host_sockets_http", SOCKETS_CONNECTIONS, soil, peer)


def sockets_tcp(options):
    figure = Figure("host_sockets_tcp_out_gbps", "Gbit/s", "higher")
    for _ in range(options.pairs):
        with Sockets("chargen", 7) as soil:
            ours = load("out", soil.host, 7, options.seconds)["gbps"]
        with Linux("chargen", 7) as linux:
            figure.add(ours, load("out", linux.host, 7, options.seconds)["gbps"])
    return [figure]


def soil_http(options):
    return each_request(options, "host_soil_http", PAGE_CONNECTIONS, lambda: Page(80), Nginx)


def http2(options):
    """HTTP/2 without TLS, 64 connections with 1 and with 32 streams at a time."""
    figures = []
    for streams in (1, 32):
        rate = Figure(f"h2_rps_m{streams}", "requests/s", "higher")
        tail = Figure(f"h2_p99_ms_m{streams}", "ms", "lower")
        for _ in range(options.pairs):
            with Page(80) as page:
                ours = h2load(page.host, 64, streams, options.seconds)
            with Nginx("nginx2") as other:
                theirs = h2load(other.host, 64, streams, options.seconds)
            rate.add(ours[0], theirs[0])
            tail.add(ours[1], theirs[1])
        figures += [rate, tail]
    return figures


def behind(proxy, measure):
    """`measure` of a proxy, to a backend on this side of its interface."""
    with proxy, Child(nginx("backend")) as backend:
        backend.wait_line(Nginx.READY)
        return measure(proxy.host)


def proxies(options):
    """Requests per second: HTTP/1.1 on both sides, and HTTP/2 on the clients'."""
    figures = []
    for name, configuration, measure in (
        ("proxy_rps", "proxy", lambda host: wrk(host, 64, options.seconds)[0]),
        ("proxy_h2_rps", "proxy2", lambda host: h2load(host, 64, 8, options.seconds)[0]),
    ):
        figure = Figure(name, "requests/s", "higher")
        for _ in range(options.pairs):
            ours = behind(Gateway(80, f"http://{Linux.HOST}:8080"), measure)
            figure.add(ours, behind(Nginx(configuration), measure))
        figures.append(figure)
    return figures


# About 200 us of a slow processor.
ROUNDS = 100_000


def several(options):
    """soil-http in two domains: requests per second beside nginx with two workers, also with 12 and
    128 connections; how many times those of one domain with a handler that computes; and how much
    longer answers take beside a domain that computes than beside a process that does. The client
    has a part of the same processors."""
    figures = []
    for connections in (12, 64, 128):
        figure = Figure(f"host_soil_http_2domains_rps_c{connections}", "requests/s", "higher")
        figures.append(figure)
        for _ in range(options.pairs):
            ours, theirs = (
                behind(side, lambda host, n=connections: wrk(host, n, options.seconds)[0])
                for side in (Pages(80, 2, 0), Nginx("workers"))
            )
            figure.add(ours, theirs)
    speedup = Figure("host_soil_http_2domains_speedup", "times one domain", "higher")
    for _ in range(options.pairs):
        one, two = (
            behind(Pages(80, n, ROUNDS), lambda host: wrk(host, 64, options.seconds)[0])
            for n in (1, 2)
        )
        speedup.add(two / one, None)
    tail = Figure("host_soil_http_p99_beside_computing", "times beside a process", "lower")
    for _ in range(options.pairs):
        domain = behind(Beside(80, "computes"), lambda host: wrk(host, 1, options.seconds)[1])
        with Child(["sh", "-c", "while :; do :; done"]):
            process = behind(Beside(80, "idle"), lambda host: wrk(host, 1, options.seconds)[1])
        tail.add(domain / process, None)
    handshakes = Figure("host_tls_handshakes_2domains_speedup", "times one domain", "higher")
    for _ in range(options.pairs):
        one, two = (shakes(n, options.seconds) for n in (1, 2))
        handshakes.add(two / one, None)
    return [*figures, speedup, tail, handshakes]


def shakes(domains, seconds):
    """Full TLS handshakes per second in so many domains, with both ends in the program."""
    certificates = os.path.join(ROOT, "tls", "tests", "certificates")
    environment = {**os.environ, "SOIL_MOUNT": f"/certificates=host:{certificates}"}
    command = [built(HANDSHAKES), str(domains), str(seconds)]
    with Child(command, env=environment) as child:
        return float(child.wait_line("handshakes/s")[1].split()[0])


GROUPS = {
    "host_start": quota.beside("host_start", start),
    "host_http": quota.beside("host_http", http),
    "host_tcp": quota.beside("host_tcp", tcp_out),
    "host_sockets_http": sockets_http,
    "host_sockets_tcp": sockets_tcp,
    "host_soil_http": soil_http,
    "host_soil_domains": several,
    "h2": http2,
    "proxy": proxies,
}


def each_order(name, numbers):
    """The names of `each_request`'s figures."""
    return [f"{name}_{what}_c{n}" for n in numbers for what in ("rps", "cpu_us")]


ORDER = """host_start_first_line_ms host_start_first_line_ms_slow host_http_rps_c8
host_http_rps_c8_slow host_tcp_out_gbps host_tcp_out_gbps_slow""".split()
ORDER += each_order("host_sockets_http", SOCKETS_CONNECTIONS)
ORDER += ["host_sockets_tcp_out_gbps"]
ORDER += each_order("host_soil_http", PAGE_CONNECTIONS)
ORDER += [f"host_soil_http_2domains_rps_c{n}" for n in (12, 64, 128)]
ORDER += ["host_soil_http_2domains_speedup", "host_soil_http_p99_beside_computing"]
ORDER += ["host_tls_handshakes_2domains_speedup"]
ORDER += """h2_rps_m1 h2_p99_ms_m1 h2_rps_m32 h2_p99_ms_m32 proxy_rps proxy_h2_rps""".split()
