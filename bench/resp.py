"""RESP: the example `cache`, and redis-server as its peer, in a guest and as a process; 50 clients of
redis-benchmark with 1 and 16 requests in flight each."""

import re
import shutil
import subprocess

import network
import peer
import qemu
from boot import built, image
from measure import Figure
from processes import Linux, Sockets

PROGRAM = "examples/servers/cache.exe"
LISTENS = {"soil": "listening on", "peer": "Ready to accept connections"}
# One thread, nothing on a disk, like the example.
CONFIGURATION = b"""port 6379
bind 0.0.0.0
protected-mode no
save ""
appendonly no
"""
MEM = 512  # MiB; the program declares that it needs them
ORDER = [
    f"{form}resp_{test}_per_s_p{pipeline}"
    for form in ("", "host_")
    for pipeline in (1, 16)
    for test in ("set", "get")
]


def prepare():
    with open(configuration(), "wb") as file:
        file.write(CONFIGURATION)
    files = [*libraries(), configuration()]
    for machine, transport in peer.TRANSPORT.items():
        peer.initramfs(f"resp-{machine}", transport + peer.NET, redis(), files=files)


def configuration():
    return peer.work("redis.conf")


def redis():
    """The server, which the package redis-tools has as one of its tools."""
    path = shutil.which("redis-check-rdb")
    if not path or not shutil.which("redis-benchmark"):
        raise peer.Missing("redis-tools is not installed; run: make setup")
    return path


def libraries():
    """The server's shared libraries and their loader."""
    done = subprocess.run(["ldd", redis()], capture_output=True, text=True, check=True)
    return sorted(set(re.findall(r"(/\S+) \(0x", done.stdout)))


def rates(host, seconds):
    """Requests per second by figure, without the form."""
    words = ["redis-benchmark", "-h", host, "-c", "50", "--csv"]

    def rate(test, pipeline, requests):
        done = subprocess.run(
            [*words, "-t", test, "-P", str(pipeline), "-n", str(requests)],
            capture_output=True,
            text=True,
            timeout=300,
        )
        found = re.search(rf'^"{test.upper()}","([0-9.]+)"', done.stdout, re.MULTILINE)
        if done.returncode != 0 or not found or float(found[1]) == 0:
            raise RuntimeError(f"redis-benchmark: {done.stdout}{done.stderr}")
        return float(found[1])

    figures = {}
    for pipeline in (1, 16):
        for test in ("set", "get"):
            # It ends after a number of requests: as many as take about so long.
            first = rate(test, pipeline, 20_000)
            figures[f"resp_{test}_per_s_p{pipeline}"] = rate(test, pipeline, int(first * seconds))
    return figures


def guests(options):
    """The two guests, as functions of a TAP."""
    modules = peer.TRANSPORT[options.machine] + peer.NET
    archive = peer.work(f"resp-{options.machine}.cpio")
    program = image(f"_build/soil/{PROGRAM}")
    words = [configuration()]
    return (
        lambda tap: qemu.soil(program, [], options.machine, MEM, tap),
        lambda tap: qemu.linux(archive, modules, words, options.machine, MEM, tap),
    )


class Cache(Sockets):
    """Runs the example on Linux's own sockets, in the plain program's place."""

    PROGRAM = f"_build/default/{PROGRAM}"
    READY = LISTENS["soil"]


class Redis(Linux):
    """Runs redis-server in the plain program's place."""

    READY = LISTENS["peer"]

    def __init__(self):
        script = 'exec -a redis-server "$@"'
        self.words = ["bash", "-c", script, "bash", redis(), configuration()]
        self.host = self.GUEST


def measured(options, form, *sides):
    """The figures of a form; each of `sides` makes one side's rates."""
    figures = {}
    for _ in range(options.pairs):
        ours, theirs = (side() for side in sides)
        for name, rate in ours.items():
            figure = figures.setdefault(name, Figure(form + name, "requests/s", "higher"))
            figure.add(rate, theirs[name])
    return list(figures.values())


def resp(options):
    soil, linux = guests(options)

    def work(host, _pid):
        return rates(host, options.seconds / 2)

    return measured(
        options,
        "",
        lambda: network.served(soil, work, LISTENS["soil"]),
        lambda: network.served(linux, work, LISTENS["peer"]),
    )


def host_resp(options):
    def run(server):
        with server() as running:
            return rates(running.host, options.seconds / 2)

    return measured(options, "host_", lambda: run(Cache), lambda: run(Redis))


GROUPS = {"resp": resp, "host_resp": host_resp}
