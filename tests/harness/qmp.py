"""QEMU's monitor (QMP), by which tests control a running machine."""

import json
import socket
import time

from harness.console import PATIENCE


class Monitor:
    """Connects to the monitor at `path`; waits for the machine to open it."""

    def __init__(self, path, timeout=PATIENCE):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        until = time.monotonic() + timeout
        while True:
            try:
                self.socket.connect(path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
        self.file = self.socket.makefile("rw", encoding="utf-8")
        self.file.readline()
        self.ask("qmp_capabilities")

    def wait_event(self, name):
        """Whether the event arrives; false if QEMU ends without it."""
        while line := self.file.readline():
            if json.loads(line).get("event") == name:
                return True
        return False

    def ask(self, command, **arguments):
        """The answer to a command; an error fails the test."""
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if "event" not in answer:
                break
        assert "return" in answer, f"{command}: {answer}"
        return answer["return"]
