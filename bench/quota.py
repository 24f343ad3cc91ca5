"""A slowed processor: a control group with a quota, for the process form and the plain program
alike.

Version 2 of control groups (`cpu.max`) where its controller is free, version 1 (`cpu.cfs_quota_us`)
otherwise; Linux `Documentation/admin-guide/cgroup-v2.rst` and
`Documentation/scheduler/sched-bwc.rst`.
"""

import os
import time

#: Microseconds of the processor in each period. A short period: what is slow is the processor, it
#: doesn't pause.
QUOTA, PERIOD = 4_000, 10_000
ROOT = "/sys/fs/cgroup"


class Unavailable(Exception):
    """No control group can be created here; the text has the reason."""


def _write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _version2(folder):
    _write(os.path.join(folder, "cpu.max"), f"{QUOTA} {PERIOD}")


def _version1(folder):
    _write(os.path.join(folder, "cpu.cfs_period_us"), str(PERIOD))
    _write(os.path.join(folder, "cpu.cfs_quota_us"), str(QUOTA))


class Quota:
    """A control group for the duration of the `with` block; `prefix` are the words before a command
    that runs in it."""

    def __enter__(self):
        name = f"soil-bench-{os.getpid()}"
        problems = []
        for parent, limit in (
            (ROOT, _version2),
            (ROOT + "/cpu", _version1),
            (ROOT + "/cpu,cpuacct", _version1),
        ):
            self.folder = os.path.join(parent, name)
            if not os.path.exists(os.path.join(parent, "cgroup.procs")):
                continue
            try:
                os.mkdir(self.folder)
                limit(self.folder)
            except OSError as problem:
                problems.append(str(problem))
                self._remove()
                continue
            into = os.path.join(self.folder, "cgroup.procs")
            self.prefix = ["sh", "-c", f'echo $$ >{into} && exec "$@"', "sh"]
            return self
        raise Unavailable(
            "no control group with a quota of processor time: "
            + ("; ".join(problems) or f"none at {ROOT}")
        )

    def __exit__(self, *_):
        # A reaped process may still count for a moment.
        for _ in range(100):
            if self._remove():
                return
            time.sleep(0.02)

    def _remove(self):
        try:
            os.rmdir(self.folder)
        except FileNotFoundError:
            pass
        except OSError:
            return False
        return True


def beside(name, group):
    """The figures of `group(options, name, prefix)`, and the same with a slowed processor, named
    NAME_slow, or the reason for their absence."""

    def run(options):
        figures = group(options, "", [])
        try:
            with Quota() as quota:
                figures += group(options, "_slow", quota.prefix)
        except Unavailable as reason:
            print(f"{name}_slow: skipped: {reason}", flush=True)
        return figures

    return run
