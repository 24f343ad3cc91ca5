"""A child process whose output lines get the host's time as they arrive."""

import os
import select
import signal
import subprocess
import time

from harness import kvm

# Seconds to wait for an event where the test's own limit doesn't bound the wait. Only a hang takes
# this long: on a machine with two busy cores every wait of the tests ends well below five seconds.
PATIENCE = 60 * kvm.SLOWNESS
# The share of processor time that an idle program's timer takes: next to none, but under KVM's
# instruction emulator, where 20 ticks a second take a twentieth.
IDLE = 0.2 if kvm.KIND == "assisted" else 0


class Timeout(Exception):
    """An event didn't happen in time; the message names it and shows the output so far."""


class Hang(Timeout):
    """An event didn't happen for as long as only a hang takes: PATIENCE, or the rest of the test's
    time."""


nice = None  # set by raise_priority


def raise_priority(value):
    """Runs this process and its future children with a higher scheduling weight, where allowed."""
    global nice
    nice = value
    try:
        os.nice(value - os.nice(0))
    except PermissionError:
        pass
    _weigh_session()


def _weigh_session():
    """Linux first weighs sessions against each other (sched(7), autogroup), and a child has its
    own."""
    try:
        with open("/proc/self/autogroup", "w", encoding="ascii") as group:
            group.write(str(nice))
    except OSError:
        pass


class Child:
    """Runs `command`; standard output and standard error share a pipe unless `stderr` is given.

    The child leads its own session, so stopping it also stops its children. `deadline` (of
    time.monotonic) bounds every wait for its output or its end.
    """

    def __init__(
        self,
        command,
        env=None,
        cwd=None,
        stdin=subprocess.DEVNULL,
        prefix=(),
        deadline=None,
        pass_fds=(),
    ):
        self.started = time.monotonic()
        self.deadline = deadline
        self.command = [str(word) for word in command]
        self.process = subprocess.Popen(
            [*prefix, *self.command],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=None if env is None else {**os.environ, **env},
            cwd=cwd,
            pass_fds=pass_fds,
            start_new_session=True,
            preexec_fn=_weigh_session if nice is not None else None,
        )
        self.output = b""
        self.lines = []  # (seconds since start, text) of every complete line
        self._partial = b""
        self._open = True

    @property
    def pid(self):
        return self.process.pid

    @property
    def text(self):
        return self.output.decode("utf-8", "replace")

    def _pump(self, timeout):
        """Reads available output, waiting at most `timeout` seconds; False at the end of output."""
        if not self._open:
            return False
        ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, timeout))
        if not ready:
            return True
        data = os.read(self.process.stdout.fileno(), 65536)
        now = time.monotonic() - self.started
        if not data:
            self._open = False
            return False
        self.output += data
        *whole, self._partial = (self._partial + data).split(b"\n")
        for line in whole:
            self.lines.append((now, line.decode("utf-8", "replace").rstrip("\r")))
        return True

    def _until(self, timeout):
        if timeout is not None:
            return time.monotonic() + timeout
        return self.deadline or time.monotonic() + PATIENCE

    def _late(self, timeout, message):
        """The exception for an event missing after `timeout`, which is as in `_until`."""
        return Hang(message) if timeout is None or timeout >= PATIENCE else Timeout(message)

    def wait_line(self, text, timeout=None, after=0):
        """The (time, line) of the first line from index `after` on that contains `text`. Earlier
        lines count: to wait for a repeated line, pass the index after the last one."""
        deadline = self._until(timeout)
        seen = after
        while True:
            for index in range(seen, len(self.lines)):
                if text in self.lines[index][1]:
                    return self.lines[index]
            seen = len(self.lines)
            left = deadline - time.monotonic()
            if left <= 0 or not self._pump(left):
                if any(text in line for _, line in self.lines[seen:]):
                    continue
                message = f"no line with {text!r} from {self.command[0]}; its output:\n{self.text}"
                raise self._late(timeout, message) if self._open else Timeout(message)

    def finish(self, timeout=None):
        """Waits for the end of the output and of the process; returns its exit status."""
        deadline = self._until(timeout)
        while self._open:
            left = deadline - time.monotonic()
            if left <= 0:
                self.stop()
                raise self._late(
                    timeout,
                    f"{self.command[0]} still runs after {time.monotonic() - self.started:.0f} s; "
                    f"output:\n{self.text}",
                )
            self._pump(left)
        try:
            return self.process.wait(max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.stop()
            raise self._late(
                timeout, f"{self.command[0]} closed its output but still runs"
            ) from None

    def drain(self, seconds):
        """Collects output for `seconds`, and then everything already available."""
        deadline = time.monotonic() + seconds
        while True:
            left, before = deadline - time.monotonic(), len(self.output)
            if not self._pump(left) or (left <= 0 and len(self.output) == before):
                return

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Kills the process and its children, and reaps it."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stdout.close()
        self._open = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def cpu_seconds(pid):
    """User and system time of process `pid` (all its threads), in seconds."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def sleeps(pid):
    """Whether every thread of process `pid` is blocked, not runnable (proc(5), state)."""
    states = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/stat", encoding="ascii") as stat:
                states.append(stat.read().rsplit(") ", 1)[1][0])
        except (FileNotFoundError, ProcessLookupError):
            return False  # The thread has just ended.
    return all(state in "SI" for state in states)


def falls_asleep(pid, window=1):
    """Whether process `pid` has a period of `window` seconds without processor time that Linux
    counts, at whose end all its threads wait. A process that spins or wakes repeatedly has none, on
    any machine."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        before = cpu_seconds(pid)
        time.sleep(window)
        if cpu_seconds(pid) - before <= IDLE * window and sleeps(pid):
            return True
    return False


def least_processor_time(pid, seconds, enough):
    """The least processor time of process `pid` in windows of `seconds`: the first below `enough`,
    or the least of six, since other load on the machine only adds to it."""
    least = float("inf")
    for _ in range(6):
        before = cpu_seconds(pid)
        time.sleep(seconds)
        least = min(least, cpu_seconds(pid) - before)
        if least < enough:
            break
    return least


def resident_kib(pid):
    """Resident memory of process `pid` in KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0
