"""A control group with a limit of memory: version 2 where it has that controller, else version 1
(Linux `Documentation/admin-guide/cgroup-v2.rst`, `Documentation/admin-guide/cgroup-v1/memory.rst`).
"""

import contextlib
import os
import time

from harness.context import Skip

ROOT = "/sys/fs/cgroup"


def _write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _version2(folder, limit):
    with contextlib.suppress(OSError):
        _write(f"{ROOT}/cgroup.subtree_control", "+memory")
    _write(f"{folder}/memory.max", str(limit))
    # Else the kernel swaps first, where it can.
    with contextlib.suppress(OSError):
        _write(f"{folder}/memory.swap.max", "0")


def _version1(folder, limit):
    _write(f"{folder}/memory.limit_in_bytes", str(limit))
    with contextlib.suppress(OSError):
        _write(f"{folder}/memory.swappiness", "0")


class MemoryLimit:
    """A group with `limit` bytes of memory for the duration of the `with` block; `prefix` are the
    words before a command that runs in it. Skips the test where no group can be made."""

    def __init__(self, limit):
        self.limit = limit

    def __enter__(self):
        problems = []
        for parent, set_limit in ((ROOT, _version2), (f"{ROOT}/memory", _version1)):
            if not os.path.exists(f"{parent}/cgroup.procs"):
                continue
            self.folder = f"{parent}/soil-test-{os.getpid()}-{time.monotonic_ns()}"
            try:
                os.mkdir(self.folder)
                set_limit(self.folder, self.limit)
            except OSError as problem:
                problems.append(str(problem))
                self._remove()
                continue
            self.prefix = ["sh", "-c", f'echo $$ >{self.folder}/cgroup.procs && exec "$@"', "sh"]
            return self
        raise Skip(f"no control group of memory can be made: {'; '.join(problems) or 'none here'}")

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
