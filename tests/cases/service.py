"""examples/service, a durable key-value service: its interface, its parts killed while clients
work, the machine killed, and the power cut at each write."""

import contextlib
import http.client
import os
import random
import signal
import socket
import threading
import time

from cases.network import in_every_form, machine_pid
from cases.services import EXPECT, authority
from cases.storage_kv import entries, fresh, stored
from harness import faulty
from harness.console import PATIENCE
from harness.context import SOIL, executable
from harness.runner import test

PROGRAM = "examples/service/main.exe"


def start(context, form, disk, tap, *arguments):
    child = context.soil(PROGRAM, form, *arguments, tap=tap, options=["--disk", f"data={disk}"])
    child.wait_line("http: ready")
    return child


def ask(host, method, path, body=None, headers=None, note=lambda _: None):
    """The status and the body of the response to one request, on a new connection, whose socket is
    passed to `note` before it connects."""
    connection = http.client.HTTPConnection(host, 80, timeout=PATIENCE)
    with contextlib.closing(connection):
        peer = connection.sock = socket.socket()
        peer.settimeout(PATIENCE)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        note(peer)
        peer.connect((host, 80))
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read()


def insist(host, method, path, body=None):
    """The same, repeated until the service can be reached and answers."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            status, answer = ask(host, method, path, body)
            if status != 503:
                return status, answer
        except (OSError, http.client.HTTPException):
            pass
        assert time.monotonic() < until, f"{method} {path}: no answer"
        time.sleep(0.02)


@in_every_form(limit=90)
def interface(context, form):
    """Values are put, got, listed and removed, and survive a stop by SIGTERM; the status reports
    errors in a request."""
    disk, tap = context.memory_path("data.img"), context.tap()
    fresh(context, disk)
    child = start(context, form, disk, tap, "--max-value", "100000")

    def answers(status, body, *request):
        got = ask(tap.guest, *request)
        assert got[0] == status and (body is None or got[1] == body), (request, got)

    large = os.urandom(100_000)
    answers(404, None, "GET", "/kv/a")
    answers(201, None, "PUT", "/kv/a", b"one")
    answers(200, None, "PUT", "/kv/a", b"two")
    answers(201, None, "PUT", "/kv/folder/large", large)
    answers(201, None, "PUT", "/kv/empty", b"")
    answers(200, b"two", "GET", "/kv/a")
    answers(200, b"", "HEAD", "/kv/a")
    answers(200, large, "GET", "/kv/folder/large")
    answers(200, b"a\nempty\nfolder/\n", "GET", "/kv/")
    answers(200, b"large\n", "GET", "/kv/folder")
    answers(200, None, "DELETE", "/kv/a")
    answers(404, None, "DELETE", "/kv/a")
    answers(409, None, "PUT", "/kv/folder", b"a folder has no value")
    answers(413, None, "PUT", "/kv/a", large + b"1")
    answers(411, None, "PUT", "/kv/a", iter([b"in", b"chunks"]), {"Transfer-Encoding": "chunked"})
    answers(400, None, "PUT", "/kv/a/%2e%2e/b", b"x")
    answers(405, None, "DELETE", "/kv/")
    answers(405, None, "POST", "/kv/a", b"x")
    answers(404, None, "GET", "/other")
    answers(404, None, "POST", "/fail/store")
    answers(200, b"store: ready\nhttp: ready\n", "GET", "/health")
    status, page = ask(tap.guest, "GET", "/metrics")
    for line in (
        b'service_responses_total{method="PUT",status="201"} 3\n',
        b'service_child_ready{child="http"} 1\n',
        b'service_child_restarts_total{child="store"} 0\n',
    ):
        assert status == 200 and line in page, page
    # One connection for two requests; curl sends the body only after 100 Continue.
    url, said = (
        f"http://{tap.guest}/kv/x",
        ["-sS", "-o", "/dev/null", "-w", "%{http_code} %{num_connects} "],
    )
    put = ["-X", "PUT", "--data-binary", "kept", *EXPECT]
    connects = context.run("curl", *said, *put, url, "--next", *said, url).stdout
    assert connects.split() == ["201", "1", "200", "0"], connects
    child.signal(signal.SIGTERM)
    assert child.finish() == 143, child.text
    start(context, form, disk, tap)
    answers(200, b"kept", "GET", "/kv/x")
    answers(200, large, "GET", "/kv/folder/large")
    answers(404, None, "GET", "/kv/a")


@in_every_form(forms=("process", "microvm"))
def https(context, form):
    """With --certificate and --key the service speaks TLS, by files of its volume."""
    disk, tap = context.path("data.img"), context.tap()
    folder = authority(context, "soil.test")
    fresh(context, disk, "-d", folder)
    files = ["--certificate", "/data/soil.test.pem", "--key", "/data/soil.test.key"]
    start(context, form, disk, tap, "--port", "443", *files)
    curl = [
        "curl",
        "-sS",
        "--cacert",
        f"{folder}/authority.pem",
        "--resolve",
        f"soil.test:443:{tap.guest}",
    ]
    url = "https://soil.test/kv/a"
    context.run(*curl, "-X", "PUT", "--data-binary", "value", url)
    assert context.run(*curl, url).stdout == "value"


@in_every_form(forms=("process", "microvm"))
def needs_and_arguments(context, form):
    """`soil run` requires the volume with ext4, forwards the port that an argument names, and shows
    help and usage errors without a disk."""
    program = executable(PROGRAM, form)

    def run(*words):
        done = context.run(SOIL, "run", program, *words, check=False)
        return done.returncode, done.stdout, done.stderr

    text = context.run(SOIL, "needs", program, "--", "--port", "8000").stdout
    assert "--forward 8000:8000" in text and "ext4 or host, at least 8 MiB" in text, text
    status, _, errors = run()
    assert status == 125 and "--disk data=data.img" in errors and "--fs ext4" in errors, errors
    disk = context.path("fat.img")
    with open(disk, "wb") as file:
        file.truncate(16 << 20)
    context.run("mkfs.fat", disk)
    status, _, errors = run("--disk", f"data={disk}")
    assert status == 125 and "has the file system fat" in errors, errors
    status, page, _ = run("--", "--help")
    assert status == 0 and "--max-value=SIZE (absent=1M or SERVICE_MAX_VALUE env)" in page, page
    status, _, errors = run("--", "--certificate", "a.pem")
    assert status == 124 and "--certificate and --key go together" in errors, errors


class Writers:
    """Clients that each put the numbers from 1 into their own value, and record the acknowledged
    ones."""

    def __init__(self, context, host, count, first=None):
        self.context, self.host = context, host
        self.stop, self.failure = threading.Event(), None
        self.done = first or {f"writer{number}": 0 for number in range(count)}
        self.sockets = {}
        self.threads = [
            threading.Thread(target=self.work, args=(name,), daemon=True) for name in self.done
        ]
        for thread in self.threads:
            thread.start()

    def work(self, name):
        def note(peer):
            self.sockets[name] = peer

        while not self.stop.is_set():
            number = self.done[name] + 1
            try:
                status, _ = ask(self.host, "PUT", f"/kv/{name}", stamp(number), note=note)
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
                continue
            if status in (200, 201):
                self.done[name] = number
            elif status != 503:
                self.failure = f"{name} {number}: {status}"
                return

    def wait(self, more):
        """Waits until each has `more` acknowledged changes."""
        wanted = {name: number + more for name, number in self.done.items()}
        while any(self.done[name] < number for name, number in wanted.items()):
            assert self.failure is None, self.failure
            assert time.monotonic() < self.context.deadline, f"{self.done}, not {wanted}"
            time.sleep(0.01)

    def end(self, gone=False):
        """Stops the clients; if the machine is `gone` without closing connections, shuts them
        down."""
        self.stop.set()
        for thread in self.threads:
            while gone and thread.is_alive():
                for peer in list(self.sockets.values()):
                    with contextlib.suppress(OSError):
                        peer.shutdown(socket.SHUT_RDWR)
                thread.join(0.1)
            thread.join()
        assert self.failure is None, self.failure


def stamp(number):
    return f"{number:010}\n".encode() * (1 + number * 977 % 700)


def nothing_is_lost(host, done):
    """Each value is whole: the last acknowledged one, or the next one, in progress at the time."""
    for name, number in done.items():
        status, value = insist(host, "GET", f"/kv/{name}")
        expected = [stamp(number), stamp(number + 1)] if number else [stamp(1)]
        assert (status == 404 and number == 0) or value in expected, (name, number, value[:40])
        # Continues from the present value.
        done[name] = int(value.split()[0]) if status == 200 else 0


@in_every_form(limit=90)
def parts_fail(context, form):
    """Four clients work while the store and the listener fail in turn: each restarts, the listener
    with the store, and no acknowledged change is lost."""
    disk, tap = context.memory_path("data.img"), context.tap()
    fresh(context, disk)
    child = start(context, form, disk, tap, "--admin")
    writers = Writers(context, tap.guest, 4)
    for part in ("store", "http", "store", "http"):
        writers.wait(3)
        seen = len(child.lines)
        assert insist(tap.guest, "POST", f"/fail/{part}")[0] == 202
        child.wait_line(f"{part}: ended", after=seen)
        child.wait_line("http: ready", after=seen)
    writers.wait(3)
    writers.end()
    nothing_is_lost(tap.guest, writers.done)
    assert insist(tap.guest, "POST", "/fail/other")[0] == 404
    health = insist(tap.guest, "GET", "/health")[1].decode()
    assert "store: ready, 2 restarts" in health and "http: ready, 4 restarts" in health, health
    assert health.count("Asked_to_fail") == 2, health
    page = insist(tap.guest, "GET", "/metrics")[1]
    for part, restarts in ((b"store", 2), (b"http", 4)):
        line = b'service_child_restarts_total{child="%s"} %d\n' % (part, restarts)
        assert line in page, page


@in_every_form(limit=60, forms=("process", "microvm"))
def a_part_that_fails_too_often(context, form):
    """The service ends with status 123 and reports which part failed, how often, and why."""
    disk, tap = context.memory_path("data.img"), context.tap()
    for _ in range(3):
        fresh(context, disk)
        child = start(context, form, disk, tap, "--admin")
        for time_ in range(6):
            seen = len(child.lines)
            assert insist(tap.guest, "POST", "/fail/store")[0] == 202
            child.wait_line("store: ended", after=seen)
            if time_ < 5:
                child.wait_line("http: ready", after=seen)
        failures = [at for at, line in child.lines if "store: ended" in line]
        if failures[5] - failures[0] < 25:
            break
        # For the service the first failure may be too long ago.
        print(f"six failures took {failures[5] - failures[0]:.1f} s")
        child.stop()
    else:
        raise AssertionError("too slow for six failures in 30 s")
    assert child.finish() == 123, child.text
    assert "service: store: more than 5 restarts in 30 s" in child.text, child.text


@test(limit=120)
def killed_machines(context):
    """The machine is killed three times while clients put values: acknowledged values survive."""
    disk, tap = context.path("data.img"), context.tap()
    fresh(context, disk)
    rng, done = random.Random(5), None
    for _ in range(3):
        child = start(context, "microvm", disk, tap)
        if done:
            nothing_is_lost(tap.guest, done)
        writers = Writers(context, tap.guest, 4, done)
        writers.wait(2)
        time.sleep(rng.uniform(0, 0.3))
        os.killpg(child.pid, signal.SIGKILL)
        child.finish()
        writers.end(gone=True)
        done = writers.done
    start(context, "microvm", disk, tap)
    nothing_is_lost(tap.guest, done)
    assert min(done.values()) >= 6, done


@test(limit=180)
def power_cuts(context):
    """QEMU records each write and flush while values are put in sequence; after each of some 50
    cuts, some with half of the unflushed writes lost, the disk has every value whose successor had
    begun."""
    blank, disk, log = (context.path(name) for name in ("blank.img", "disk.img", "writes.log"))
    fresh(context, blank)
    context.run("cp", "--sparse=always", blank, disk)
    tap = context.tap()
    options = ["--disk", f"data={disk}", "--qemu", faulty.recording(context, log, 512)]
    child = context.soil(PROGRAM, "microvm", tap=tap, options=options)
    child.wait_line("service listens on")
    steps = 6
    for number in range(1, steps + 1):
        status, _ = ask(tap.guest, "PUT", "/kv/value", stamp(number))
        assert status in (200, 201), status
    # Of QEMU, which completes its record.
    os.kill(machine_pid(child), signal.SIGTERM)
    child.finish()
    with open(blank, "rb") as file:
        safe = bytearray(file.read())
    rng, pending, begun, cuts = random.Random(1), [], 0, 0

    def verify(kept):
        nonlocal cuts
        cuts += 1
        image = bytearray(safe)
        for place, data in kept:
            image[place : place + len(data)] = data
        with open(disk, "wb") as file:
            file.write(image)
        context.run("e2fsck", "-E", "journal_only", "-y", disk, check=False)
        context.run("e2fsck", "-fn", disk)
        found = stored(context, disk, ["value"], "/values")[0] or b""
        allowed = [stamp(begun), stamp(begun - 1) if begun > 1 else b""]
        assert found in allowed, f"cut {cuts}: {begun} had begun, and there is {found[:20]}"

    for entry in entries(log):
        if entry is None:
            for place, data in pending:
                safe[place : place + len(data)] = data
            pending = []
            continue
        pending.append(entry)
        for number in range(begun + 1, steps + 1):
            if stamp(number)[:11] in entry[1]:
                begun = number
        if begun:
            verify(pending)
            verify([write for write in pending if rng.random() < 0.5])
    assert begun == steps and cuts > 5 * steps, (begun, cuts)
