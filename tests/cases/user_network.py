"""Without privileges: QEMU's own network for the machine, passt for the process, ports
forwarded."""

import os
import signal
import socket

from cases.network import Server, in_every_form, machine_pid
from harness.context import FORMS, clean
from harness.runner import test

SERVICES = "tests/programs/soil/services.exe"


def free_port():
    """A port of the loopback without a listener."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def uplink(context):
    """passt copies addresses and routes from an interface of the host that has them."""
    tap = context.tap()
    context.run("ip", "route", "add", "default", "via", tap.prefix + ".9", "dev", tap.name)


@in_every_form(forms=FORMS)
def forwarded_port(context, form):
    """--net user --forward: curl reaches the program over the host's loopback, and bytes arrive
    unchanged."""
    uplink(context)
    web, echo = free_port(), free_port()
    options = ["--net", "user", "--forward", f"{web}:80", "--forward", f"{echo}:7"]
    child = context.soil(SERVICES, form, options=options)
    child.wait_line("ready")
    page = context.run("curl", "-fsS", f"http://127.0.0.1:{web}/").stdout
    assert page == "x" * 1024, page
    # Debian 12's passt (2023) may leave data unacknowledged forever while the program's window is
    # closed, a bug fixed in later versions ("Don't reset ACK_TO_TAP_DUE on any ACK"): for the
    # process, send only what fits the window.
    context.load("copy", "127.0.0.1", echo, 65_536 if form == "process" else 1_000_000)


@test()
def many_connect_at_once(context):
    """A hundred clients connect to a forwarded port while QEMU accepts none: the host accepts all
    of them, and each gets its answer when QEMU resumes. (With QEMU's own backlog, the host drops
    data from the third one on.)"""
    port, clients = free_port(), []
    options = ["--net", "user", "--forward", f"{port}:80"]
    child = context.soil(SERVICES, "microvm", options=options)
    child.wait_line("ready")
    machine = machine_pid(child)
    os.kill(machine, signal.SIGSTOP)
    for number in range(100):
        try:
            client = socket.create_connection(("127.0.0.1", port), context.remaining())
        except OSError as error:
            raise AssertionError(f"client {number}: {error}") from error
        client.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        clients.append(client)
    os.kill(machine, signal.SIGCONT)
    for number, client in enumerate(clients):
        with client:
            answer = client.makefile("rb").read()
        assert answer.endswith(b"x" * 1024), f"client {number}: {answer!r}"


@in_every_form(forms=("process", "microvm"))
def outgoing(context, form):
    """A connection from the program to a server of the host."""
    # passt gives the program the uplink's own address, so the server needs another one.
    uplink(context)
    tap = context.tap()
    server = Server(tap, lambda peer: peer.sendall(peer.makefile("rb").readline().upper()))
    words = ["exchange", tap.host, str(server.port), "5"]
    child = context.soil(
        "tests/programs/soil/tcp_client.exe", form, *words, options=["--net", "user"]
    )
    status = child.finish(context.remaining())
    assert status == 0 and "5 right answers" in clean(child.text), child.text
