"""System calls of the process form per frame, counted by strace."""

import ctypes
import json
import os
import signal
import socket

from cases.network import SERVICES, machine_pid, services
from harness.console import PATIENCE, falls_asleep
from harness.context import Skip, executable
from harness.runner import test


def frames(context, tap):
    """Frames carried by the TAP in both directions. One with segmentation left to the device counts
    once."""
    (link,) = json.loads(context.run("ip", "-s", "-j", "link", "show", tap.name).stdout)
    return sum(link["stats64"][direction]["packets"] for direction in ("rx", "tx"))


def need_strace(context):
    """Skips the test where no process may trace another's system calls."""
    trial = context.run("strace", "-o", context.path("trial"), "true", check=False)
    if trial.returncode != 0:
        raise Skip(f"strace can't trace here: {trial.stderr.strip()}")


def need_io_uring():
    """Skips the test where the kernel lacks io_uring of Linux 5.11 or later; the test checks this
    itself, so that a program which doesn't use it fails."""
    libc = ctypes.CDLL(None, use_errno=True)
    parameters = (ctypes.c_uint32 * 30)()
    ring = libc.syscall(425, 8, parameters)  # io_uring_setup
    if ring < 0:
        raise Skip(f"this kernel has no io_uring for us: {os.strerror(ctypes.get_errno())}")
    os.close(ring)
    if not parameters[5] & 1 << 8:  # IORING_FEAT_EXT_ARG
        raise Skip("this kernel's io_uring is older than Linux 5.11")


def calls_in(report):
    """The calls that `strace -c` has counted, by name."""
    with open(report, encoding="ascii") as file:
        lines = [line.split() for line in file]
    counted = [
        words for words in lines if len(words) > 4 and words[3].isdigit() and words[-1] != "total"
    ]
    return {words[-1]: int(words[3]) for words in counted}


def counted(context, child, tap, *load):
    """Frames, and system calls (by name) of the services while a load runs."""
    report = context.path("calls")
    strace = context.child(["strace", "-f", "-c", "-o", report, "-p", str(machine_pid(child))])
    strace.wait_line("attached")
    before = frames(context, tap)
    context.load(*load)
    carried = frames(context, tap) - before
    os.kill(strace.process.pid, signal.SIGINT)
    strace.finish(context.remaining())
    calls = calls_in(report)
    # The tick's own thread sleeps by the clock, independently of the network.
    calls.pop("clock_nanosleep", None)
    print(f"{' '.join(map(str, load))}: {carried} frames, {sum(calls.values())} calls {calls}")
    return carried, calls


@test(limit=120)
def calls_for_frames(context):
    """At most one system call per frame, in transfers and where each side waits for the other."""
    need_strace(context)
    need_io_uring()
    child, tap = services(context, "process")
    for mode, port in (("out", 19), ("in", 9), ("echo", 7)):

        def attempt(seconds, mode=mode, port=port):
            carried, calls = counted(context, child, tap, mode, tap.guest, port, seconds)
            assert "io_uring_enter" in calls, calls
            return carried, sum(calls.values()), calls

        few_calls(attempt, 1, mode)
    assert falls_asleep(machine_pid(child)), "it doesn't sleep"


def few_calls(attempt, most, what):
    """Checks that `attempt(seconds)`, which returns frames and calls, has at most `most` calls per
    frame. Repeats it for longer where the machine is too slow to tell, and again under other load:
    then the program may wait for a frame that otherwise arrives at once."""
    for seconds in (1, 2, 8, 24):
        carried, count, calls = attempt(seconds)
        if carried > 500 and count <= most * carried:
            return
    raise AssertionError(f"{what}: {count} calls for {carried} frames: {calls}")


@test(limit=120)
def calls_for_frames_without_io_uring(context):
    """Where the kernel forbids io_uring: a call per frame, and one per wait."""
    need_strace(context)
    for mode, port, most in (("out", 19, 1.5), ("in", 9, 1.5), ("echo", 7, 1.65)):
        few_calls(
            lambda seconds, mode=mode, port=port: without_io_uring(context, mode, port, seconds),
            most,
            mode,
        )


def without_io_uring(context, mode, port, seconds):
    """Frames, and the calls of a program that serves them."""
    tap = context.tap()
    report = context.path(mode)
    strace = ["strace", "-f", "-c", "-o", report, "-e", "inject=io_uring_setup:error=EPERM"]
    network = {"SOIL_NET": f"tap={tap.name}", "SOIL_IP": tap.guest_cidr, "SOIL_GATEWAY": tap.host}
    child = context.child([*strace, executable(SERVICES, "process")], env=network)
    child.wait_line("ready")
    context.load(mode, tap.guest, port, seconds)
    carried = frames(context, tap)
    os.killpg(child.pid, signal.SIGTERM)
    child.finish(context.remaining())
    calls = calls_in(report)
    # The tick's own thread sleeps by the clock, independently of the network.
    calls.pop("clock_nanosleep", None)
    print(f"{mode}: {carried} frames, {calls}")
    assert calls["io_uring_setup"] >= 1, calls
    # Without those of the start and the end.
    return carried, sum(calls.values()) - 500, calls


def traced_sockets(context, report, *inject):
    """Services on Linux's own sockets, whose system calls are counted."""
    strace = ["strace", "-f", "-c", "-o", report, *inject]
    child = context.child([*strace, executable(SERVICES, "process")], env={"SOIL_NET": "host"})
    child.wait_line("ready")
    return child


@test(limit=60)
def calls_on_the_hosts_sockets(context):
    """A question from a peer that waits for the answer costs three calls: wait, receive, send."""
    need_strace(context)
    need_io_uring()
    report, questions = context.path("calls"), 500
    child = traced_sockets(context, report)
    with socket.create_connection(("127.0.0.1", 7), timeout=PATIENCE) as peer:
        peer.settimeout(PATIENCE)
        for _ in range(questions):
            peer.sendall(b"x")
            assert peer.recv(1) == b"x"
    os.killpg(child.pid, signal.SIGTERM)
    child.finish(context.remaining())
    calls = calls_in(report)
    print(calls)
    of_questions = sum(calls[name] for name in ("io_uring_enter", "recvfrom", "sendto"))
    assert of_questions < 3 * questions + 100, calls


@test(limit=60)
def hosts_sockets_without_io_uring(context):
    """Linux's own sockets where the kernel forbids io_uring: the same, with epoll."""
    need_strace(context)
    report = context.path("calls")
    child = traced_sockets(context, report, "-e", "inject=io_uring_setup:error=EPERM")
    context.load("copy", "127.0.0.1", 7, 2_000_000)
    line = context.load("hold", "127.0.0.1", 7, 200, 0.2).stdout
    assert "connections=200" in line, line
    os.killpg(child.pid, signal.SIGTERM)
    child.finish(context.remaining())
    calls = calls_in(report)
    assert calls["io_uring_setup"] >= 1 and calls["epoll_wait"] >= 1, calls
    assert "io_uring_enter" not in calls, calls


@test(limit=30)
def removed_device(context):
    """Removing a TAP device is like unplugging a cable: one line, and no busy loop."""
    child, tap = services(context, "process")
    context.run("ip", "link", "del", tap.name)
    child.wait_line("the TAP device is gone")
    assert falls_asleep(machine_pid(child)), "it doesn't sleep"
