"""Chromium without a window, by its DevTools protocol over a pipe: messages are JSON, each followed
by a NUL."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import time

from harness.console import PATIENCE
from harness.context import Skip

OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-pipe",
)
# The browser reads commands at descriptor 3 and writes at 4.
START = 'in=$1 out=$2; shift 2; exec "$@" 3<&"$in" 4>&"$out"'


def pipe():
    """The two ends of a pipe, above the descriptors that the browser uses."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high


class Browser:
    """A running Chromium; its windows share nothing, like those of different people."""

    def __init__(self, context):
        program = shutil.which("chromium")
        if not program:
            raise Skip("chromium isn't installed; install it: apt-get install chromium")
        commands, self.commands = pipe()
        self.messages, messages = pipe()
        words = [program, *OPTIONS, f"--user-data-dir={context.path('chromium')}", "about:blank"]
        self.log = context.path("chromium.log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["bash", "-c", START, "chromium", str(commands), str(messages), *words],
                pass_fds=(commands, messages),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "HOME": context.directory},
            )
        os.close(commands)
        os.close(messages)
        self.rest, self.last = b"", 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.commands)
        os.close(self.messages)

    def _next(self, until):
        """The next message: an answer or an event."""
        while b"\0" not in self.rest:
            left = until - time.monotonic()
            assert left > 0 and select.select([self.messages], [], [], left)[0], "no answer"
            data = os.read(self.messages, 65536)
            if not data:
                with open(self.log, encoding="utf-8", errors="replace") as log:
                    raise AssertionError(f"chromium ended: {log.read()[-2000:]}")
            self.rest += data
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def ask(self, method, session=None, **parameters):
        """The result of a command; an error fails the test."""
        self.last += 1
        command = {"id": self.last, "method": method, "params": parameters}
        if session:
            command["sessionId"] = session
        os.write(self.commands, json.dumps(command).encode() + b"\0")
        until = time.monotonic() + PATIENCE
        while True:
            message = self._next(until)
            if message.get("id") == self.last:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]

    def open(self, url):
        """A page in a window of its own, with cookies of its own."""
        person = self.ask("Target.createBrowserContext")["browserContextId"]
        target = self.ask("Target.createTarget", url=url, browserContextId=person)["targetId"]
        return Page(self, self.ask("Target.attachToTarget", targetId=target, flatten=True))


class Page:
    """A page of the browser."""

    def __init__(self, browser, attached):
        self.browser, self.session = browser, attached["sessionId"]

    def evaluate(self, script):
        """The value of a script; of a promise, what it becomes."""
        answer = self.browser.ask(
            "Runtime.evaluate",
            self.session,
            expression=script,
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in answer, f"{script}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def wait(self, script, shown="document.body.innerText"):
        """Waits until a script is true, also through the loading of another page; its value. If
        that doesn't happen the failure has the value of `shown`."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                if value := self.evaluate(script):
                    return value
            except AssertionError as problem:
                print(problem)
            if time.monotonic() > until:
                raise AssertionError(f"{script}: {self.evaluate(shown)!r}")
            time.sleep(0.05)

    def reload(self):
        """Loads the page once more."""
        self.browser.ask("Page.reload", self.session)
