"""Unmodified programs for Lwt."""

import signal
import socket

from cases.network import in_every_form
from harness.console import PATIENCE


class Client:
    """A client of the chat room."""

    def __init__(self, host, name):
        self.socket = socket.create_connection((host, 6667), timeout=PATIENCE)
        self.lines = self.socket.makefile("rb")
        assert self.lines.read(11) == b"Your name? "
        self.say(name)

    def say(self, line):
        self.socket.sendall(line.encode() + b"\r\n")

    def hears(self, line):
        heard = self.lines.readline().decode().strip()
        assert heard == line, f"{heard!r}, not {line!r}"

    def leave(self):
        self.lines.close()
        self.socket.close()


@in_every_form()
def chat(context, form):
    """examples/lwt-chat as shipped: each client's lines reach all others; a client that resets its
    connection leaves; a signal ends the server with its status."""
    tap = None if form == "process" else context.tap()
    child = context.soil("examples/lwt-chat/main.exe", form, tap=tap)
    child.wait_line("chat listens on port 6667")
    host = tap.guest if tap else "127.0.0.1"
    names = [f"guest {number}" for number in range(8)]
    clients = []
    for name in names:
        clients.append(Client(host, name))
        child.wait_line(f"{name} is here")
        for other in clients[:-1]:
            other.hears(f"{name} is here")
    for speaker, name in zip(clients, names, strict=True):
        speaker.say("hello, all")
        for other in clients:
            if other is not speaker:
                other.hears(f"{name}: hello, all")
    reset, gone = clients.pop(), names.pop()
    reset.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    reset.leave()
    for other in clients:
        other.hears(f"{gone} has left")
    child.signal(signal.SIGTERM)
    assert child.finish(context.remaining()) == 143, child.text
    assert "chat ends" in child.text, child.text
    for client in clients:
        client.leave()
