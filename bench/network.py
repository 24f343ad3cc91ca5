"""HTTP, bulk transfers, round trips, idling, over a TAP with virtio-net headers."""

import os
import re
import subprocess
import tempfile
import time

import peer
import qemu
from boot import LINUX, SOIL, built, image
from harness.console import Child, cpu_seconds
from harness.tap import Tap
from measure import Figure
from start import said, started
from target import FOREIGN


def prepare():
    load = os.path.join(peer.HERE, "load", "load.c")
    subprocess.run(["cc", "-O2", "-Wall", "-o", peer.work("load"), load], check=True)
    if not FOREIGN:
        manifest = os.path.join(peer.HERE, "responder", "Cargo.toml")
        build = ["cargo", "build", "-q", "--locked", "--release", "--manifest-path", manifest]
        subprocess.run([*build, "--target-dir", peer.work("target")], check=True)
    for machine, transport in peer.TRANSPORT.items():
        peer.initramfs("net-" + machine, transport + peer.NET, built(LINUX + "serve.exe"))


def load(*words):
    """Runs the load client; returns its figures by name."""
    done = subprocess.run(
        [peer.work("load"), *map(str, words)], capture_output=True, text=True, timeout=120
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return {name: float(value) for name, value in re.findall(r"(\w+)=([0-9.]+)", done.stdout)}


def wrk(host, connections, seconds):
    """Requests per second and the 99th percentile in ms."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency"]
    done = subprocess.run(
        [*command, "--timeout", "8s", f"http://{host}/"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout)
    tail = re.search(r"99%\s+([0-9.]+)(us|ms|s|m)\b", done.stdout)
    if not rate or not tail or float(rate[1]) == 0:
        raise RuntimeError(f"wrk: {done.stdout}{done.stderr}")
    scale = {"us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4}
    return float(rate[1]), float(tail[1]) * scale[tail[2]]


def h2load(host, connections, streams, seconds):
    """Likewise over HTTP/2 without TLS, with so many streams of each connection at a time."""
    with tempfile.NamedTemporaryFile("r", encoding="ascii") as log:
        done = subprocess.run(
            ["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{max(1, round(seconds))}"]
            + [f"--log-file={log.name}", f"http://{host}/"],
            capture_output=True,
            text=True,
            timeout=120,
        )
        # Start, status and duration in µs.
        lines = [line.split() for line in log]
    rate = re.search(r", ([0-9.]+) req/s", done.stdout)
    if not rate or any(status != "200" for _, status, _ in lines) or not lines:
        raise RuntimeError(f"h2load: {done.stdout}{done.stderr}")
    times = sorted(int(duration) for _, _, duration in lines)
    return float(rate[1]), times[len(times) * 99 // 100] / 1e3


def guests(options, mode, port, program=SOIL + "serve.exe", **device):
    """The two guests that serve `mode`, each as a function of a TAP to a QEMU command; `program` is
    Soil's."""
    modules = peer.TRANSPORT[options.machine] + peer.NET
    archive = peer.work(f"net-{options.machine}.cpio")
    serve = image(program)
    words = [mode, str(port)]
    return (
        lambda tap: qemu.soil(serve, words, options.machine, tap=tap, **device),
        lambda tap: qemu.linux(archive, modules, words, options.machine, tap=tap, **device),
    )


def served(command, work, ready="ready"):
    """Boots `command` on a new TAP, waits until the guest says that it is `ready`, and measures."""
    with Tap(3) as tap, started(command(tap), said(ready)) as (child, _):
        try:
            return work(tap.guest, child.pid)
        except RuntimeError as problem:
            raise RuntimeError(
                f"{problem}; the guest: {' '.join(child.command)}\n{child.text}"
            ) from problem


def pairs(options, mode, port, work, program=SOIL + "serve.exe"):
    """`work`'s results for Soil and Linux, alternately."""
    soil, linux = guests(options, mode, port, program)
    for _ in range(options.pairs):
        yield served(soil, work), served(linux, work)


def http(options):
    """The constant 1 KiB response, keep-alive, one wrk thread."""
    c8 = Figure("http_rps_c8", "requests/s", "higher")
    c64 = Figure("http_rps_c64", "requests/s", "higher")
    tail = Figure("http_p99_ms_c64", "ms", "lower")

    def work(host, _pid):
        return wrk(host, 8, options.seconds)[0], *wrk(host, 64, options.seconds)

    for soil, linux in pairs(options, "http", 80, work):
        for figure, s, p in zip((c8, c64, tail), soil, linux):
            figure.add(s, p)
    return [c8, c64, tail]


def single(options, figure, mode, client, key):
    """A figure from one service and one run of the load client."""

    def work(host, _pid):
        return load(client, host, 7, options.seconds)[key]

    for soil, linux in pairs(options, mode, 7, work):
        figure.add(soil, linux)
    return [figure]


def tcp_out(options):
    figure = Figure("tcp_out_gbps", "Gbit/s", "higher")
    return single(options, figure, "chargen", "out", "gbps")


def tcp_in(options):
    figure = Figure("tcp_in_gbps", "Gbit/s", "higher")
    return single(options, figure, "discard", "in", "gbps")


def tcp_rtt(options):
    figure = Figure("tcp_rtt_us_p50", "us", "lower")
    return single(options, figure, "echo", "echo", "p50_us")


def idle(options):
    """Processor time of QEMU over 20 s with a listener and one open connection."""
    figure = Figure("idle_cpu_percent", "% of a core", "lower")

    def work(host, pid):
        hold = [peer.work("load"), "hold", host, "7", "1", "25"]
        with Child(hold) as client:
            client.wait_line("connections=1")
            time.sleep(2)
            before = cpu_seconds(pid)
            time.sleep(20)
            return (cpu_seconds(pid) - before) / 20 * 100

    soil, linux = guests(options, "echo", 7)
    figure.add(served(soil, work), served(linux, work))
    return [figure]


def ceiling(options):
    """Ethernet frames per second that the bare responder answers; Linux has no such program."""
    figure = Figure("net_ceiling_fps", "frames/s", "higher")
    responder = peer.work("target", "release", "responder")
    for _ in range(options.pairs):
        with Tap(3) as tap, Child(qemu.command(responder, "", tap=tap.name)) as child:
            child.wait_line("ready")
            figure.add(load("frames", tap.name, options.seconds, 128)["fps"], None)
    return [figure]
