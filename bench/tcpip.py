"""The figures of TCP/IP: HTTP with 1 to 512 connections, new connections, bulk with and without
offloads, datagrams, round trips, a lossy path, idle connections, the first reply after boot, a SYN
flood; and the stack by itself."""

import contextlib
import os
import re
import resource
import select
import socket
import subprocess
import time

import peer
import processes
from harness import relay
from harness.console import Child, Timeout, resident_kib
from harness.tap import Tap, ip
from measure import Figure
from network import guests, load, pairs, served
from start import said, started

IDLE = 900  # connections: the peer's select loop holds about a thousand
FLOOD = 50_000  # SYNs a second
TIMES = (1, 2, 4, 8)
CLOSED = {"syn": "80", "udp": "9", "fragment": "9"}  # the target port of each kind of flood
ROOT = os.path.dirname(peer.HERE)
COST = os.path.join(ROOT, "target", "release", "examples", "cost")


def prepare():
    """Builds the relay and the program that measures the stack by itself."""
    cargo = ["cargo", "build", "-q", "--locked", "--release", "-p", "net", "--example", "cost"]
    subprocess.run(cargo, cwd=ROOT, check=True)
    if not relay.build():
        raise subprocess.CalledProcessError(1, "cargo build --example relay")


def wrk(host, connections, seconds, *words):
    """Requests per second, median and 99th percentile in ms."""
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        "--latency",
        "--timeout",
        "8s",
    ]
    done = subprocess.run(
        [*command, *words, f"http://{host}/"], capture_output=True, text=True, timeout=120
    )
    scale = {"us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4}

    def percentile(name):
        found = re.search(name + r"%\s+([0-9.]+)(us|ms|s|m)\b", done.stdout)
        return float(found[1]) * scale[found[2]] if found else None

    rate = re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout)
    if not rate or float(rate[1]) == 0:
        raise RuntimeError(f"wrk: {done.stdout}{done.stderr}")
    return float(rate[1]), percentile("50"), percentile("99")


def add(figures, soil, linux):
    for figure, ours, theirs in zip(figures, soil, linux):
        figure.add(ours, theirs)


def http(options):
    """The constant 1 KiB response, keep-alive, one wrk thread."""
    figures = [Figure(f"net_http_rps_c{c}", "requests/s", "higher") for c in (1, 8, 64, 512)]
    figures += [
        Figure(f"net_http_{name}", "ms", "lower")
        for name in ("p50_ms_c8", "p99_ms_c64", "p99_ms_c512")
    ]

    def work(host, _pid):
        found = [wrk(host, c, options.seconds) for c in (1, 8, 64, 512)]
        return [each[0] for each in found] + [found[1][1], found[2][2], found[3][2]]

    for soil, linux in pairs(options, "http", 80, work):
        add(figures, soil, linux)
    return figures


def connections(options):
    """A new connection for each request: connect, request, answer, close by the client. 16 at a
    time."""
    figure = Figure("net_conn_per_s", "connections/s", "higher")

    def work(host, _pid):
        return churn(host, 80, options.seconds)

    for soil, linux in pairs(options, "http", 80, work):
        figure.add(soil, linux)
    return [figure]


def churn(host, port, seconds, clients=16):
    """Connections with one request each, closed by this side with a reset, so that it doesn't run
    out of ports."""
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    waiting = select.epoll()
    sockets, got = {}, {}

    def begin():
        one = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        one.connect_ex((host, port))
        sockets[one.fileno()] = one
        waiting.register(one.fileno(), select.EPOLLOUT)

    for _ in range(clients):
        begin()
    count, start = 0, time.monotonic()
    while (now := time.monotonic()) - start < seconds:
        events = waiting.poll(2)
        if not events:
            raise RuntimeError(f"stalled after {count} connections")
        for number, event in events:
            one = sockets[number]
            if event & select.EPOLLOUT:
                one.send(request)
                got[number] = 0
                waiting.modify(number, select.EPOLLIN)
                continue
            data = one.recv(65536)
            got[number] += len(data)
            if data and got[number] < 1024:
                continue
            waiting.unregister(number)
            del sockets[number]
            one.close()
            count += 1
            begin()
    for one in sockets.values():
        one.close()
    return count / (now - start)


def bulk(options):
    """Guest to host and host to guest, with all offloads of the device and with none."""
    figures = []
    for suffix, offloads in (("", True), ("_nooffload", False)):
        for way, mode in (("out", "chargen"), ("in", "discard")):
            figure = Figure(f"net_tcp_{way}{suffix}_gbps", "Gbit/s", "higher")
            soil, linux = guests(options, mode, 7, offloads=offloads)

            def work(host, _pid, way=way):
                return load(way, host, 7, options.seconds)["gbps"]

            for _ in range(options.pairs):
                figure.add(served(soil, work), served(linux, work))
            figures.append(figure)
    return figures


def datagrams(options):
    """UDP payloads of 64 bytes: those received by a program, and those sent by it and received by
    the host."""
    figures = [Figure(f"net_udp_pps_{way}", "datagrams/s", "higher") for way in ("in", "out")]

    def work(host, _pid):
        return [load(mode, host, 7, options.seconds)["pps"] for mode in ("udpin", "udpout")]

    for soil, linux in pairs(options, "datagrams", 7, work):
        add(figures, soil, linux)
    return figures


def round_trip(options):
    """64-byte ping-pong with TCP_NODELAY."""
    figures = [Figure(f"net_rtt_us_{name}", "us", "lower") for name in ("p50", "p99")]

    def work(host, _pid):
        found = load("echo", host, 7, options.seconds)
        return found["p50_us"], found["p99_us"]

    for soil, linux in pairs(options, "echo", 7, work):
        add(figures, soil, linux)
    return figures


class Children:
    """Child processes of a measurement, ended with it."""

    def __init__(self, stack):
        self.stack = stack

    def child(self, words, **options):
        return self.stack.enter_context(Child(words, **options))


def lossy(options):
    """The guest sends over a relay with 1 % loss and a delay of 25 ms in each direction; the peer's
    CUBIC does the same."""
    figure = Figure("net_loss1_50ms_mbps", "Mbit/s", "higher")
    seconds = max(20, 4 * options.seconds)

    def rate(command, seed):
        with contextlib.ExitStack() as stack, Tap(3) as tap:
            stack.enter_context(started(command(tap), said("ready")))
            words = ["delay=25", "loss=10000", f"seed={seed}"]
            link = relay.BadLink(Children(stack), tap, *words)
            command = [*link.inside, peer.work("load"), "out", tap.guest, "7", str(seconds)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
            if done.returncode != 0:
                raise RuntimeError(done.stderr.strip())
            return float(re.search(r"gbps=([0-9.]+)", done.stdout)[1]) * 1000

    soil, linux = guests(options, "chargen", 7)
    for seed in range(options.pairs):
        figure.add(rate(soil, seed), rate(linux, seed))
    return [figure]


def idle(options):
    """QEMU's memory for each of 900 idle connections to the HTTP program, after a first round has
    touched everything."""
    figure = Figure("net_idle_conn_bytes", "bytes", "lower")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))

    def opened(host, count):
        found = [socket.create_connection((host, 80), timeout=10) for _ in range(count)]
        time.sleep(1)
        return found

    def work(host, pid):
        for one in opened(host, 100):
            one.close()
        wrk(host, 8, 1)
        time.sleep(1)
        before = resident_kib(pid)
        held = opened(host, IDLE)
        after = resident_kib(pid)
        for one in held:
            one.close()
        return (after - before) * 1024 / IDLE

    for soil, linux in pairs(options, "http", 80, work):
        figure.add(max(1, soil), linux)
    return [figure]


def first_reply(options):
    """From the start of QEMU to the first answer to an HTTP request; a new attempt to connect every
    5 ms."""
    figure = Figure("net_boot_to_first_reply_ms", "ms", "lower")

    def once(command):
        with Tap(3) as tap:
            # Linux sends neighbour solicitations only once a second.
            ip(
                "neigh",
                "replace",
                tap.guest,
                "lladdr",
                peer.GUEST_MAC,
                "nud",
                "permanent",
                "dev",
                tap.name,
            )
            with started(command(tap), lambda child: answered(child, tap.guest)) as (_, seconds):
                return seconds * 1000

    def answered(child, host):
        while child.process.poll() is None and time.monotonic() - child.started < 30:
            if attempt(host):
                return time.monotonic() - child.started
        child.drain(0)
        raise Timeout(f"no answer within 30 s: {child.text}")

    def attempt(host):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
            one.settimeout(0.005)
            try:
                one.connect((host, 80))
                one.settimeout(2)
                one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                return one.recv(4096).startswith(b"HTTP/1.1 200")
            except OSError:
                return False

    soil, linux = guests(options, "http", 80)
    for _ in range(options.pairs):
        figure.add(once(soil), once(linux))
    return [figure]


def flood(options):
    """50 000 SYNs a second from changing addresses: the share of its speed that a running
    connection keeps, and the number of honest connections that succeed."""
    share = Figure("net_flood_share_percent", "% of its speed without", "higher")
    honest = Figure("net_flood_connects_percent", "% of connects", "higher")

    def work(host, _pid):
        with socket.create_connection((host, 80), timeout=20) as running:
            return under_flood(host, running)

    def under_flood(host, running):
        quiet = rate_of_requests(running, options.seconds)
        with flooding(host, FLOOD, 3 * options.seconds + 1, "syn") as attack:
            under = rate_of_requests(running, options.seconds)
            good = tried = 0
            end = time.monotonic() + options.seconds
            while time.monotonic() < end and attack.process.poll() is None:
                tried += 1
                good += request(host)
        return 100 * under / quiet, 100 * good / max(1, tried)

    def request(host):
        try:
            with socket.create_connection((host, 80), timeout=3) as one:
                one.settimeout(3)
                one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                return one.recv(4096).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    for soil, linux in pairs(options, "http", 80, work):
        add([share, honest], soil, linux)
    return [share, honest]


@contextlib.contextmanager
def flooding(host, rate, seconds, kind):
    """The flood, starting half a second before the block."""
    command = [
        peer.work("load"),
        "flood",
        "soil3",
        peer.GUEST_MAC,
        host,
        CLOSED[kind],
        str(rate),
        str(seconds),
        kind,
    ]
    with Child(command) as attack:
        time.sleep(0.5)
        yield attack


def overload(options):
    """The share of its speed that a running connection keeps under 1, 2, 4 and 8 times the maximum
    rate of SYNs that Soil's guest takes on this host, and under as many datagrams to a closed port
    and fragments; and the number of SYNs that the TAP dropped before any guest saw them."""
    kinds = {
        kind: [
            Figure(f"net_overload_{kind}_x{times}_percent", "% of its speed without", "higher")
            for times in TIMES
        ]
        for kind in CLOSED
    }
    most = Figure("net_overload_syns_per_s", "SYNs taken/s", "higher")
    lost = [
        Figure(f"net_overload_lost_x{times}_percent", "% of SYNs before the guest", "lower")
        for times in TIMES
    ]

    def frames():
        """The numbers of frames that the TAP has passed to the guest, and dropped."""
        # /sys shows the interfaces of the namespace that mounted it.
        with open("/proc/net/dev") as table:
            counters = next(line for line in table if line.lstrip().startswith("soil3:"))
        fields = counters.split(":")[1].split()
        return int(fields[9]), int(fields[11])

    def taken(host, rate):
        with flooding(host, rate, 2, "syn"):
            before, start = frames(), time.monotonic()
            time.sleep(1)
            return (frames()[0] - before[0]) / (time.monotonic() - start)

    def capacity(host, _pid):
        return max(taken(host, rate) for rate in (25_000, 50_000, 100_000, 200_000))

    def shares(capacity):
        def work(host, _pid):
            def speed(around):
                with socket.create_connection((host, 80), timeout=20) as running, around:
                    return rate_of_requests(running, options.seconds)

            def under(kind, times):
                before = frames()
                found = speed(flooding(host, capacity * times, options.seconds + 1, kind))
                given, dropped = (now - was for now, was in zip(frames(), before))
                return 100 * found / quiet, 100 * dropped / (given + dropped)

            quiet = speed(contextlib.nullcontext())
            return {kind: [under(kind, times) for times in TIMES] for kind in CLOSED}

        return work

    soil, linux = guests(options, "http", 80)
    for _ in range(options.pairs):
        found = served(soil, capacity)
        most.add(found, served(linux, capacity))
        ours, theirs = served(soil, shares(found)), served(linux, shares(found))
        for kind, figures in kinds.items():
            add(figures, *([kept for kept, _ in side[kind]] for side in (ours, theirs)))
        add(lost, *([gone for _, gone in side["syn"]] for side in (ours, theirs)))
    return [most, *lost, *(figure for figures in kinds.values() for figure in figures)]


def rate_of_requests(one, seconds):
    """Sequential requests a second on one keep-alive connection."""
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    count, start = 0, time.monotonic()
    while (now := time.monotonic()) - start < seconds:
        one.sendall(request)
        got = 0
        while got < 1024:
            # A connection stopped by a flood counts with its requests until then.
            one.settimeout(max(0.001, start + seconds - time.monotonic()))
            try:
                data = one.recv(65536)
            except TimeoutError:
                return count / seconds
            if not data:
                raise RuntimeError("the connection was closed")
            got += len(data)
        count += 1
    return count / (now - start)


def host(options):
    """The process form against plain Linux sockets."""
    http8 = Figure("net_host_http_rps_c8", "requests/s", "higher")
    http64 = Figure("net_host_http_rps_c64", "requests/s", "higher")
    new = Figure("net_host_conn_per_s", "connections/s", "higher")
    out = Figure("net_host_tcp_out_gbps", "Gbit/s", "higher")
    into = Figure("net_host_tcp_in_gbps", "Gbit/s", "higher")
    trip = Figure("net_host_rtt_us_p50", "us", "lower")
    seconds = options.seconds

    def figures(form):
        with form("http", 80) as one:
            found = [wrk(one.host, c, seconds)[0] for c in (8, 64)] + [churn(one.host, 80, seconds)]
        for mode, way, key in (
            ("chargen", "out", "gbps"),
            ("discard", "in", "gbps"),
            ("echo", "echo", "p50_us"),
        ):
            with form(mode, 7) as one:
                found.append(load(way, one.host, 7, seconds)[key])
        return found

    every = [http8, http64, new, out, into, trip]
    for _ in range(options.pairs):
        add(every, figures(processes.Soil), figures(processes.Linux))
    return every


def stack(options):
    """Two stacks over a simulated cable in virtual time, both counted; no peer."""
    units = {
        "gbps": ("net_stack_gbps", "Gbit/s", "higher"),
        "conns_per_s": ("net_stack_conns_per_s", "connections/s", "higher"),
        "packet_ns_c10": ("net_stack_packet_ns_c10", "ns", "lower"),
        "packet_ns_c1000": ("net_stack_packet_ns_c1000", "ns", "lower"),
        "packet_ns_c50000": ("net_stack_packet_ns_c50000", "ns", "lower"),
    }
    figures = {key: Figure(*each) for key, each in units.items()}
    flat = Figure("net_stack_packet_ratio", "times, 50 000 against 10 connections", "lower")
    for _ in range(options.pairs):
        text = subprocess.run(
            [COST, str(options.seconds)], check=True, capture_output=True, text=True
        ).stdout
        found = {name: float(value) for name, value in re.findall(r"(\w+)=([0-9.]+)", text)}
        for key, figure in figures.items():
            figure.add(found[key], None)
        flat.add(found["packet_ns_c50000"] / found["packet_ns_c10"], None)
    return [*figures.values(), flat]


GROUPS = {
    "net_http": http,
    "net_conn": connections,
    "net_tcp": bulk,
    "net_udp": datagrams,
    "net_rtt": round_trip,
    "net_loss": lossy,
    "net_idle": idle,
    "net_boot": first_reply,
    "net_flood": flood,
    "net_overload": overload,
    "net_host": host,
    "net_stack": stack,
}

ORDER = """net_http_rps_c1 net_http_rps_c8 net_http_rps_c64 net_http_rps_c512
net_http_p50_ms_c8 net_http_p99_ms_c64 net_http_p99_ms_c512 net_conn_per_s
net_tcp_out_gbps net_tcp_in_gbps net_tcp_out_nooffload_gbps net_tcp_in_nooffload_gbps
net_udp_pps_in net_udp_pps_out net_rtt_us_p50 net_rtt_us_p99 net_loss1_50ms_mbps
net_idle_conn_bytes net_boot_to_first_reply_ms net_flood_share_percent
net_flood_connects_percent net_overload_syns_per_s net_overload_lost_x1_percent
net_overload_lost_x2_percent net_overload_lost_x4_percent net_overload_lost_x8_percent
net_overload_syn_x1_percent
net_overload_syn_x2_percent net_overload_syn_x4_percent net_overload_syn_x8_percent
net_overload_udp_x1_percent net_overload_udp_x2_percent net_overload_udp_x4_percent
net_overload_udp_x8_percent net_overload_fragment_x1_percent
net_overload_fragment_x2_percent net_overload_fragment_x4_percent
net_overload_fragment_x8_percent net_host_http_rps_c8 net_host_http_rps_c64
net_host_conn_per_s net_host_tcp_out_gbps net_host_tcp_in_gbps net_host_rtt_us_p50
net_stack_gbps net_stack_conns_per_s net_stack_packet_ns_c10 net_stack_packet_ns_c1000
net_stack_packet_ns_c50000 net_stack_packet_ratio""".split()
