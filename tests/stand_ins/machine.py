"""What the stand-ins of VMMs share: a record of how they were started, and QEMU as their machine.

The environment says what they do: STAND_IN_RECORD is the file for the record; with STAND_IN_CONSOLE
they write that as the machine's console and end with STAND_IN_STATUS (and STAND_IN_ERROR on
standard error), without it QEMU runs the image.
"""

import http.server
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading


def record(**what):
    """Writes the record, and plays the machine if the environment has its console."""
    if path := os.environ.get("STAND_IN_RECORD"):
        with open(path, "w", encoding="utf-8") as file:
            json.dump(what, file)
    sys.stderr.write(os.environ.get("STAND_IN_ERROR", ""))
    console = os.environ.get("STAND_IN_CONSOLE")
    if console is not None:
        sys.stdout.write(console)
        sys.stdout.flush()
        sys.exit(int(os.environ.get("STAND_IN_STATUS", "0")))


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def serve(path, answers):
    """Serves the API at this socket: `answers` has a function for each path and body, and gives
    what it returns as the HTTP status."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PUT(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            answer = answers.get((self.path, body.decode()), lambda: 400)
            self.send_response(answer())
            self.end_headers()

        def log_message(self, *_):
            """Says nothing."""

        def address_string(self):
            return "unix"

    server = Server(path, Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


class Machine:
    """QEMU without the devices that `soil run` gives it: no debug port and no exit device."""

    def __init__(self, machine, image, line, memory, devices):
        here, there = socket.socketpair()
        words = ["qemu-system-x86_64", "-M", f"{machine},accel=tcg", "-cpu", "qemu64,+rdrand"]
        words += ["-m", f"{memory}M", "-nodefaults", "-no-user-config", "-no-reboot"]
        words += ["-display", "none", "-kernel", image, "-append", line]
        words += ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]
        words += ["-chardev", f"socket,id=monitor,fd={there.fileno()}", "-qmp", "chardev:monitor"]
        words += devices
        # With all descriptors, one of which ends it with `soil run`: Firecracker and Cloud
        # Hypervisor have no such child.
        there.set_inheritable(True)
        self.process = subprocess.Popen(words, close_fds=False)
        there.close()
        self.monitor = here.makefile("rw", encoding="utf-8")
        self.monitor.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.monitor.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.monitor.flush()
        while True:
            answer = json.loads(self.monitor.readline())
            if "return" in answer or "error" in answer:
                return answer

    def end(self):
        """Waits for QEMU, and ends as it did."""
        sys.exit(self.process.wait())
