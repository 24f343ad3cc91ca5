"""A small test runner: collects tests from `cases/`, runs each in its own process, reports.

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

from harness import cross, flaky, kvm, machine, relay, sandbox
from harness.console import PATIENCE, Hang, Timeout
from harness.context import (
    ARCH,
    CPUS,
    ROOT,
    SOIL,
    USED,
    WITHOUT_ARCH,
    Context,
    Skip,
    in_memory,
)

Test = collections.namedtuple("Test", "name shows function limit long")
# A limit ends a test that hangs. Each test states its limit for a shared machine with two cores; a
# slower or busier machine gets this multiple of it, KVM's instruction emulator a multiple of that.
SLOWER = 4 * kvm.SLOWNESS
PASS, FAIL, SKIP = 0, 1, 77
_tests = []


def test(name=None, limit=60, long=False, shows=None):
    """Registers a test. `shows`, or else the function's docstring, describes it. Its limit is
    `limit` seconds (SLOWER times that on a slow machine); with `long` it runs only with --long."""

    def register(function):
        module = function.__module__.rsplit(".", 1)[-1]
        label = name or function.__name__.replace("_", "-")
        text = shows or function.__doc__
        assert text, f"{module}/{label} doesn't say what it shows"
        _tests.append(Test(f"{module}/{label}", text, function, limit * SLOWER, long))
        return function

    return register


def summary(test):
    """The first paragraph of a test's description."""
    return " ".join(inspect.cleandoc(test.shows).split("\n\n")[0].split())


# Beginnings of the names of tests in which the kind of machine matters: its devices and interrupts,
# its clocks, its memory, the start of its processors.
OF_MACHINES = (
    *("addresses/", "busy/idle-", "clocks/", "datagrams/", "devices/", "disk_full/", "display/"),
    *("failures/", "memory/", "metadata/", "network/", "processors/crash-", "processors/start-"),
    *("processors/vectors-", "programs/calls-", "programs/fault-", "programs/hello-"),
    *("programs/overflow-", "programs/page-fault-", "programs/random-", "programs/spurious-"),
    *("threads/thread-fault-", "under_load/", "unmodified/unmodified-sockets-", "user_network/"),
    "website/website-",
)


def for_long_runs(each, names):
    """Whether a test on q35 repeats one on microvm for a subject that is the same on both: a runtime,
    a library, a protocol above the devices (docs/evidence/short-tests.md)."""
    on_microvm = each.name.removesuffix("-q35") + "-microvm"
    return (
        on_microvm in names and each.name[-4:] == "-q35" and not each.name.startswith(OF_MACHINES)
    )


def collect():
    """Imports every module of `cases`; returns the tests in their order."""
    import cases

    for module in sorted(each.name for each in pkgutil.iter_modules(cases.__path__)):
        importlib.import_module("cases." + module)
    if ARCH or kvm.KIND:
        return list(_tests)
    names = {each.name for each in _tests}
    return [each._replace(long=each.long or for_long_runs(each, names)) for each in _tests]


class Running:
    """A running test in a child process."""

    def __init__(self, each, number, long):
        self.test, self.long = each, long
        self.started = time.monotonic()
        # Seconds of processor time of the test and its children, once it has ended.
        self.cpu = 0.0
        self.directory = tempfile.mkdtemp(prefix="soil-test-")
        self.log = os.path.join(self.directory, "log")
        self.why = os.path.join(self.directory, "why")
        self.pid = os.fork()
        if self.pid == 0:
            os._exit(self.child(number))

    def child(self, number):
        os.setsid()
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        status, network = FAIL, None
        deadline = self.started + self.test.limit
        context = Context(number, self.directory, deadline, self.long)
        try:
            if not sandbox.MISSING:
                sandbox.own_network()
                network = sandbox.network()
            elif not self.test.name.startswith(sandbox.ALONE):
                raise Skip(f"it needs namespaces: {sandbox.MISSING}")
            with context, only_of_form(self.test.name):
                self.test.function(context)
            status = PASS
        except Skip as reason:
            print(reason)
            status = SKIP
        except (AssertionError, Timeout) as problem:
            frames = traceback.extract_tb(problem.__traceback__)
            where = [frame for frame in frames if "/cases/" in frame.filename][-1]
            place = f"{os.path.basename(where.filename)}:{where.lineno}: "
            print(f"{place}{where.line}\n{problem}")
            self.note(place, str(problem).strip() or where.line, hangs(problem, deadline), context)
        except BaseException as problem:
            traceback.print_exc()
            text = traceback.format_exception_only(problem)[-1]
            self.note("", text, hangs(problem, deadline), context)
        if network:
            sandbox.end_network(network)
        sys.stdout.flush()
        sys.stderr.flush()
        return status

    def note(self, place, problem, hung, context):
        """Records a failure for the runner: its first line, and why it is final."""
        final = "a hang" if hung else flaky.final(problem) or context.crash()
        with open(self.why, "w", encoding="utf-8") as file:
            file.write(f"{place}{flaky.first_line(problem)}\n{final or ''}")

    def failure(self):
        """The record of `note`; a test without one was killed."""
        try:
            with open(self.why, encoding="utf-8") as file:
                why, final = file.read().split("\n")
        except FileNotFoundError:
            why, final = "it ended without an exception", "a crash"
        return flaky.Failure(why, final or flaky.final(self.text()))

    def poll(self):
        """None while the test runs; then its status, or FAIL after its time limit."""
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        self.cpu = usage.ru_utime + usage.ru_stime
        late = time.monotonic() - self.started > self.test.limit + 5
        if pid == 0 and not late:
            return None
        code = FAIL
        if pid == 0:
            with contextlib.suppress(OSError):
                if (network := sandbox.network(self.pid)) != sandbox.network():
                    sandbox.end_network(network)
            self.kill()
            os.waitpid(self.pid, 0)
            with open(self.why, "w", encoding="utf-8") as file:
                file.write(f"time limit of {self.test.limit} s exceeded\na hang")
            with open(self.log, "a", encoding="utf-8") as log:
                log.write(f"time limit of {self.test.limit} s exceeded\n")
        elif os.WIFEXITED(status):
            code = os.WEXITSTATUS(status)
        self.kill()
        return code

    def kill(self):
        """Kills the test's leftover processes: its session, and its children's sessions."""
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


@contextlib.contextmanager
def only_of_form(name):
    """With --arch or --kvm skips a test that has used no such image, whatever its end."""
    for beginning, reason in WITHOUT_ARCH.items() if ARCH else ():
        if name.startswith(beginning):
            raise Skip(reason)
    try:
        yield
    except Skip:
        raise
    except Exception:
        if USED or not (ARCH or kvm.KIND):
            raise
    if not USED and (ARCH or kvm.KIND):
        raise Skip(f"it boots no image for {ARCH}" if ARCH else "it boots no machine under KVM")


def hangs(problem, deadline):
    """Whether a test failed because a wait took as long as only a hang takes."""
    waited = isinstance(problem, subprocess.TimeoutExpired) and problem.timeout >= PATIENCE
    return isinstance(problem, Hang) or waited or time.monotonic() >= deadline


def sessions_below(leader):
    """Process groups led by the test process `leader` or its direct children."""
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
    """The beginning, which names the failure, and the end."""
    return lines if len(lines) <= 70 else [*lines[:20], "[…]", *lines[-50:]]


def report(running, status):
    seconds = time.monotonic() - running.started
    text = running.text()
    word = WORDS.get(status, "FAILED")
    line = f"{word:8} {running.test.name} ({seconds:.1f} s, cpu {running.cpu:.1f} s)"
    if status == SKIP:
        line += ": " + text
    elif status != PASS and text:
        line += "\n" + "\n".join("    " + each for each in shortened(text.splitlines()))
    print(line, flush=True)


def run(tests, jobs, long):
    """Runs `tests`, `jobs` at a time. Returns the counts by outcome, the seconds of each test, and
    the failures."""
    waiting = collections.deque(enumerate(tests))
    active, counts, took, failures = [], collections.Counter(), [], {}
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
                if status not in (PASS, SKIP):
                    failures[running.test.name] = running.failure()
                running.close(keep=False)
                counts[status if status in WORDS else FAIL] += 1
        reap({running.pid for running in active})
    return counts, took, failures


def run_again(tests, counts, failures, long):
    """Repeats the failed tests by the rule of flaky.py; corrects the counts. Returns the report's
    lines."""
    by_name = {each.name: each for each in tests}

    def again(names):
        found = {}
        for name in names:
            ended, _, failed = run([by_name[name]], 1, long)
            if not ended[PASS]:
                found |= failed or {name: flaky.Failure("skipped", "it was skipped")}
        return found

    told, _ = flaky.run_again(failures, again)
    counts[FAIL] -= len(told)
    counts[PASS] += len(told)
    return told.values()


def reap(own):
    """Reaps orphans that this process, the first of its namespace, inherited."""
    with contextlib.suppress(ChildProcessError):
        while child := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if child.si_pid in own:
                return  # Running.poll reaps it
            os.waitpid(child.si_pid, 0)


def fetch_peer():
    """Fetches once the kernel of the Linux guest that checks disks; without it that test is
    skipped."""
    sys.path.insert(0, os.path.join(ROOT, "bench"))
    import peer

    try:
        peer.kernel()
    except (peer.Missing, OSError, subprocess.CalledProcessError) as problem:
        print(f"the Linux guest's kernel: {problem}", file=sys.stderr)


# The list of --short: tests/aarch64.txt, tests/kvm.txt or tests/short.txt.
LISTED = ARCH or (kvm.KIND and "kvm") or "short"


def short(long):
    """The tests of the list, of ARCH each with the programs whose images it uses; with `long` also
    those that are marked so in place of the programs."""
    with open(os.path.join(ROOT, "tests", f"{LISTED}.txt"), encoding="utf-8") as file:
        lines = [line.split() for line in file if line.strip() and not line.startswith("#")]
    return {name: programs for name, *programs in lines if long or programs != ["long"]}


def build(*targets, programs=()):
    """Builds the tests' programs before the sandbox cuts off the network. `programs` are those to
    build for ARCH, all without any."""
    environment = {**os.environ}
    if CPUS:
        environment["SOIL_TEST_SYMBOL"] = "caml_domain_spawn"
    if ARCH:
        environment |= cross.environment()
        targets = [f"--workspace=dune-workspace.{ARCH}"]
        folder = f"_build/soil-{ARCH}/"
        aliases = ("examples/default", "tests/programs/all", "docs/book/code/display/all")
        images = [folder + program for program in programs]
        targets += images or [f"@{folder}{alias}" for alias in aliases]
        targets += ["_build/default/tools/soil", "_build/default/tests/programs/load.exe"]
    done = subprocess.run(["dune", "build", *targets], cwd=ROOT, env=environment, check=False)
    if done.returncode != 0:
        sys.exit("error: the programs don't build; see above")


def default_jobs():
    """KVM's instruction emulator keeps a processor busy, where TCG and a native KVM mostly wait."""
    return machine.jobs(1) if kvm.KIND == "assisted" else machine.jobs()


def main():
    parser = argparse.ArgumentParser(description="Soil's end-to-end tests.")
    parser.add_argument("--long", action="store_true", help="the long ones as well")
    parser.add_argument("--list", action="store_true", help="only say what each shows")
    parser.add_argument("--build", action="store_true", help="only build what the tests run")
    parser.add_argument("--no-build", action="store_true", help="use the programs as they are")
    parser.add_argument("--jobs", type=int, default=default_jobs(), help="tests side by side")
    parser.add_argument("--again", action="store_true", help="run failed ones again at the end")
    parser.add_argument("--arch", choices=["aarch64"], help="images for it, on this machine's QEMU")
    parser.add_argument("--cpus", type=int, help="images with so many processors")
    parser.add_argument("--kvm", action="store_true", help="machines under KVM")
    parser.add_argument("--short", action="store_true", help="those of make test")
    parser.add_argument("--rest", action="store_true", help="all but those of make test")
    parser.add_argument("words", nargs="*", help="only tests whose name contains one of these")
    options = parser.parse_args()
    chosen = short(options.long) if options.short or options.rest else None
    known = collect()
    tests = [
        each
        for each in known
        if (options.long or not each.long or each.name in options.words)
        and (not options.words or any(word in each.name for word in options.words))
        and (chosen is None or (each.name in chosen) == options.short)
    ]
    if unknown := {*(chosen or ())} - {each.name for each in known}:
        sys.exit(f"error: tests/{LISTED}.txt names unknown tests: {', '.join(sorted(unknown))}")
    if options.list:
        for each in tests:
            shown = textwrap.indent(textwrap.fill(summary(each), 90), "    ")
            print(each.name + (" (long)" if each.long else ""), shown, sep="\n")
        return 0
    if not os.access(SOIL, os.X_OK):
        sys.exit(f"error: {SOIL} is not there; run: make build")
    if not os.environ.get(sandbox.MARK) and not options.no_build:
        fetch_peer()
        programs = {program for each in (chosen or {}).values() for program in each}
        counted = kvm.COUNTED if kvm.KIND and not ARCH else ()
        build("@@default", "@tests/programs/all", *counted, programs=sorted(programs))
        if not relay.build():
            sys.exit("error: the relay doesn't build; see above")
    if options.build:
        return 0
    sandbox.enter(is_complete=options.again)
    began = time.monotonic()
    # The longest first, so that none runs alone at the end.
    tests.sort(key=lambda each: each.limit, reverse=True)
    counts, took, failures = run(tests, max(1, options.jobs), options.long)
    told = run_again(tests, counts, failures, options.long) if options.again else ()
    if len(took) > 10:
        print("the slowest:")
        for seconds, name in sorted(took, reverse=True)[:10]:
            print(f"  {seconds:6.1f} s  {name}")
    print(*told, sep="\n", end="\n" if told else "")
    skipped = f", {counts[SKIP]} skipped" if counts[SKIP] else ""
    print(
        f"{counts[PASS]} passed, {counts[FAIL]} failed{skipped} ({time.monotonic() - began:.0f} s)"
    )
    return 1 if counts[FAIL] or not counts[PASS] else 0
