"""A child process whose output lines are stamped with the host's clock as they arrive."""

import os
import select
import signal
import subprocess
import time


# Seconds that a test waits for what has to come, where the test's own limit doesn't say it. Only
# something that hangs takes so long: on a machine with two busy cores all that tests wait for takes
# well below five seconds.
PATIENCE = 60


class Timeout(Exception):
    """Something did not happen in time; the message says what and shows the output so far."""


class Hang(Timeout):
    """It did not happen for as long as only something that hangs takes: PATIENCE, or the rest of
    the test's time."""


nice = None  # what raise_priority made it


def raise_priority(value):
    """Runs this process and its future children with a higher scheduling weight, if that is
    allowed."""
    global nice
    nice = value
    try:
        os.nice(value - os.nice(0))
    except PermissionError:
        pass
    _weigh_session()


def _weigh_session():
    """Linux weighs sessions against each other first (sched(7), autogroup), and a child has its
    own."""
    try:
        with open("/proc/self/autogroup", "w", encoding="ascii") as group:
            group.write(str(nice))
    except OSError:
        pass


class Child:
    """Runs `command`; standard output and standard error come together unless `stderr` is given.

    The child leads its own session, so that stopping it stops what it started as well. `deadline`
    (of time.monotonic) is until when one waits for its output or its end at most.
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
        """Reads what there is, waiting at most `timeout` seconds; False at the end of output."""
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
        """The exception for what did not come within `timeout`, as `_until` takes it."""
        return Hang(message) if timeout is None or timeout >= PATIENCE else Timeout(message)

    def wait_line(self, text, timeout=None, after=0):
        """The (time, line) of the first line from index `after` on that contains `text`. Lines that
        came before count: to wait for something that is said again, give the index behind the last
        one."""
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
        """Waits for the end of the output and of the process; its exit status."""
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
        """Collects output for `seconds`, and all that is there then."""
        deadline = time.monotonic() + seconds
        while True:
            left, before = deadline - time.monotonic(), len(self.output)
            if not self._pump(left) or (left <= 0 and len(self.output) == before):
                return

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Ends the process and what it started, and reaps it."""
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
    """User and system time that process `pid` (all its threads) has used, in seconds."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def sleeps(pid):
    """Whether each thread of process `pid` waits, and not for a processor (proc(5), state)."""
    states = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/stat", encoding="ascii") as stat:
                states.append(stat.read().rsplit(") ", 1)[1][0])
        except (FileNotFoundError, ProcessLookupError):
            return False  # It has just ended.
    return all(state in "SI" for state in states)


def falls_asleep(pid, window=1):
    """Whether there are `window` seconds in which process `pid` takes no processor time that Linux
    counts, at whose end all its threads wait: what spins, or is woken again and again, has none, on
    any machine."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        before = cpu_seconds(pid)
        time.sleep(window)
        if cpu_seconds(pid) == before and sleeps(pid):
            return True
    return False


def least_processor_time(pid, seconds, enough):
    """The least processor time that process `pid` takes in windows of `seconds`: the first that is
    below `enough`, or the least of six, since what others do to a machine only adds to it."""
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
