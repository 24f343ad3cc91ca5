"""The tiny test runner: collects tests from `cases/`, runs each in a process of its own, reports.

A test is a function with `@test()` that takes a `Context`; it fails by an exception. Every test has
a time limit, after which its whole session is killed.
"""

import argparse
import collections
import contextlib
import importlib
import inspect
import os
import pkgutil
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import traceback

from harness import machine, relay, sandbox
from harness.console import Timeout
from harness.context import ROOT, SOIL, Context, Skip, in_memory

Test = collections.namedtuple("Test", "name shows function limit long")
# A limit ends a test that hangs. Each test states its limit for a shared machine with two cores; a
# slower or busier machine gets this multiple of it.
SLOWER = 4
PASS, FAIL, SKIP = 0, 1, 77
_tests = []


def test(name=None, limit=60, long=False, shows=None):
    """Registers a test that shows what `shows` or else the function's docstring says: `limit`
    seconds at most (SLOWER times that, where the machine is slow), only with --long if `long`."""

    def register(function):
        module = function.__module__.rsplit(".", 1)[-1]
        label = name or function.__name__.replace("_", "-")
        text = shows or function.__doc__
        assert text, f"{module}/{label} doesn't say what it shows"
        _tests.append(Test(f"{module}/{label}", text, function, limit * SLOWER, long))
        return function

    return register


def summary(test):
    """The first paragraph of what a test shows."""
    return " ".join(inspect.cleandoc(test.shows).split("\n\n")[0].split())


def collect():
    """Imports every module of `cases`; the tests in their order."""
    import cases

    for module in sorted(each.name for each in pkgutil.iter_modules(cases.__path__)):
        importlib.import_module("cases." + module)
    return list(_tests)


class Running:
    """A test under way in a child process."""

    def __init__(self, each, number, long):
        self.test, self.long = each, long
        self.started = time.monotonic()
        self.directory = tempfile.mkdtemp(prefix="soil-test-")
        self.log = os.path.join(self.directory, "log")
        self.pid = os.fork()
        if self.pid == 0:
            os._exit(self.child(number))

    def child(self, number):
        os.setsid()
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        status = FAIL
        try:
            sandbox.own_network()
            with Context(
                number, self.directory, self.started + self.test.limit, self.long
            ) as context:
                self.test.function(context)
            status = PASS
        except Skip as reason:
            print(reason)
            status = SKIP
        except (AssertionError, Timeout) as problem:
            frames = traceback.extract_tb(problem.__traceback__)
            where = [frame for frame in frames if "/cases/" in frame.filename][-1]
            print(f"{os.path.basename(where.filename)}:{where.lineno}: {where.line}\n{problem}")
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        return status

    def poll(self):
        """None while it runs; afterwards its status, or FAIL when its time is over."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        late = time.monotonic() - self.started > self.test.limit + 5
        if pid == 0 and not late:
            return None
        code = FAIL
        if pid == 0:
            self.kill()
            os.waitpid(self.pid, 0)
            with open(self.log, "a", encoding="utf-8") as log:
                log.write(f"time limit of {self.test.limit} s exceeded\n")
        elif os.WIFEXITED(status):
            code = os.WEXITSTATUS(status)
        self.kill()
        return code

    def kill(self):
        """Ends what the test left running: its session, and the sessions of its children."""
        for pid in sessions_below(self.pid):
            try:
                os.killpg(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass

    def text(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read().strip()

    def close(self, keep):
        if not keep:
            for directory in (self.directory, in_memory(self.directory)):
                shutil.rmtree(directory, ignore_errors=True)


def sessions_below(leader):
    """Process groups that the test process `leader` or its direct children lead."""
    groups = [leader]
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="ascii") as stat:
                parent = int(stat.read().rsplit(") ", 1)[1].split()[1])
        except (OSError, ValueError):
            continue
        if parent == leader:
            groups.append(int(entry))
    return groups


WORDS = {PASS: "ok", FAIL: "FAILED", SKIP: "skipped"}


def shortened(lines):
    """The beginning, which says what failed, and the end."""
    return lines if len(lines) <= 70 else [*lines[:20], "[…]", *lines[-50:]]


def report(running, status):
    seconds = time.monotonic() - running.started
    text = running.text()
    line = f"{WORDS.get(status, 'FAILED'):8} {running.test.name} ({seconds:.1f} s)"
    if status == SKIP:
        line += ": " + text
    elif status != PASS and text:
        line += "\n" + "\n".join("    " + each for each in shortened(text.splitlines()))
    print(line, flush=True)


def run(tests, jobs, long):
    """Runs `tests`, `jobs` at a time. How many ended in which way, and the seconds of each."""
    waiting = collections.deque(enumerate(tests))
    active, counts, took = [], collections.Counter(), []
    while waiting or active:
        while waiting and len(active) < jobs:
            number, each = waiting.popleft()
            active.append(Running(each, number, long))
        time.sleep(0.02)
        for running in list(active):
            status = running.poll()
            if status is not None:
                active.remove(running)
                took.append((time.monotonic() - running.started, running.test.name))
                report(running, status)
                running.close(keep=False)
                counts[status if status in WORDS else FAIL] += 1
        reap({running.pid for running in active})
    return counts, took


def reap(own):
    """Buries the children that fell to this process, the first of its namespace, when their parents
    ended."""
    with contextlib.suppress(ChildProcessError):
        while child := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if child.si_pid in own:
                return  # Running.poll asks for its status
            os.waitpid(child.si_pid, 0)


def fetch_peer():
    """Fetches the kernel of the Linux guest that judges disks, once; without it that test is
    skipped."""
    sys.path.insert(0, os.path.join(ROOT, "bench"))
    import peer

    try:
        peer.kernel()
    except (peer.Missing, OSError, subprocess.CalledProcessError) as problem:
        print(f"the Linux guest's kernel: {problem}", file=sys.stderr)


def build(*targets):
    """Builds what the tests run, before the sandbox cuts the network off."""
    done = subprocess.run(["dune", "build", *targets], cwd=ROOT, check=False)
    if done.returncode != 0:
        sys.exit("error: the programs don't build; see above")


def main():
    parser = argparse.ArgumentParser(description="Soil's end-to-end tests.")
    parser.add_argument("--long", action="store_true", help="the long ones as well")
    parser.add_argument("--list", action="store_true", help="only say what each shows")
    parser.add_argument("--build", action="store_true", help="only build what the tests run")
    parser.add_argument("--no-build", action="store_true", help="use the programs as they are")
    parser.add_argument("--jobs", type=int, default=machine.jobs(), help="tests side by side")
    parser.add_argument("words", nargs="*", help="only tests whose name contains one of these")
    options = parser.parse_args()
    tests = [
        each
        for each in collect()
        if (options.long or not each.long or each.name in options.words)
        and (not options.words or any(word in each.name for word in options.words))
    ]
    if options.list:
        for each in tests:
            shown = textwrap.indent(textwrap.fill(summary(each), 90), "    ")
            print(each.name + (" (long)" if each.long else ""), shown, sep="\n")
        return 0
    if not os.access(SOIL, os.X_OK):
        sys.exit(f"error: {SOIL} is not there; run: make build")
    if not os.environ.get(sandbox.MARK) and not options.no_build:
        fetch_peer()
        build("@@default", "@tests/programs/all")
        if not relay.build():
            sys.exit("error: the relay doesn't build; see above")
    if options.build:
        return 0
    sandbox.enter()
    began = time.monotonic()
    counts, took = run(tests, max(1, options.jobs), options.long)
    if len(took) > 10:
        print("the slowest:")
        for seconds, name in sorted(took, reverse=True)[:10]:
            print(f"  {seconds:6.1f} s  {name}")
    skipped = f", {counts[SKIP]} skipped" if counts[SKIP] else ""
    print(
        f"{counts[PASS]} passed, {counts[FAIL]} failed{skipped} ({time.monotonic() - began:.0f} s)"
    )
    return 1 if counts[FAIL] or not counts[PASS] else 0
