"""A control group with a limit: version 2 where it has that controller, else version 1 (Linux
`Documentation/admin-guide/cgroup-v2.rst`, `Documentation/admin-guide/cgroup-v1/memory.rst`).
"""

import contextlib
import os
import time

from harness.context import Skip

ROOT = "/sys/fs/cgroup"


class Unavailable(Skip):
    """No such group can be made here; the text has the reason."""


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


class Group:
    """A group for the duration of the `with` block; `prefix` are the words before a command that
    runs in it. `places` are folders of groups, each with a function that sets the limit `what` of
    one in it."""

    def __init__(self, what, *places):
        self.what = what
        self.places = places

    def __enter__(self):
        problems = []
        for parent, set_limit in self.places:
            if not os.path.exists(f"{parent}/cgroup.procs"):
                continue
            self.folder = f"{parent}/soil-{os.getpid()}-{time.monotonic_ns()}"
            try:
                os.mkdir(self.folder)
                set_limit(self.folder)
            except OSError as problem:
                problems.append(str(problem))
                self._remove()
                continue
            self.prefix = ["sh", "-c", f'echo $$ >{self.folder}/cgroup.procs && exec "$@"', "sh"]
            return self
        reasons = "; ".join(problems) or f"none at {ROOT}"
        raise Unavailable(f"no control group with a limit of {self.what} can be made: {reasons}")

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


class MemoryLimit(Group):
    """A group with `limit` bytes of memory."""

    def __init__(self, limit):
        def version2(folder):
            with contextlib.suppress(OSError):
                write(f"{ROOT}/cgroup.subtree_control", "+memory")
            write(f"{folder}/memory.max", str(limit))
            # Else the kernel swaps first, where it can.
            with contextlib.suppress(OSError):
                write(f"{folder}/memory.swap.max", "0")

        def version1(folder):
            write(f"{folder}/memory.limit_in_bytes", str(limit))
            with contextlib.suppress(OSError):
                write(f"{folder}/memory.swappiness", "0")

        super().__init__("memory", (ROOT, version2), (f"{ROOT}/memory", version1))
