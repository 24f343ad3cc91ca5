"""Processors and memory for the tests: a container may have less of both than the host."""

import math
import os

# Upper bound for a test's machine and its peers; most take a tenth.
MEMORY_OF_A_TEST = 1 << 30


def first_line(path):
    try:
        with open(path, encoding="ascii") as file:
            return file.readline().split()
    except (OSError, UnicodeDecodeError):
        return []


def processors():
    """The number of processors that this process may use: its affinity, limited by the quota of
    cgroups (version 2, then 1)."""
    count = len(os.sched_getaffinity(0))
    quota, period = (first_line("/sys/fs/cgroup/cpu.max") + ["max", "0"])[:2]
    if quota == "max":
        quota, period = (
            (first_line(f"/sys/fs/cgroup/cpu/cpu.cfs_{name}_us") + ["-1"])[0]
            for name in ("quota", "period")
        )
    if quota.isdigit() and period.isdigit() and int(period) > 0:
        count = min(count, math.ceil(int(quota) / int(period)))
    return max(1, count)


def memory():
    """Bytes of free memory, of the machine or within a cgroup; the page cache counts as free."""
    with open("/proc/meminfo", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    free = int(fields["MemAvailable"].split()[0]) << 10
    for limit, used, stat, prefix in (
        ("memory.max", "memory.current", "memory.stat", ""),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "memory/memory.stat",
            "total_",
        ),
    ):
        words = first_line("/sys/fs/cgroup/" + limit) + first_line("/sys/fs/cgroup/" + used)
        if len(words) == 2 and all(word.isdigit() for word in words):
            with open("/sys/fs/cgroup/" + stat, encoding="ascii") as file:
                fields = dict(line.split() for line in file)
            pages = sum(
                int(fields.get(f"{prefix}{kind}_file", 0)) for kind in ("inactive", "active")
            )
            free = min(free, int(words[0]) - int(words[1]) + pages)
    return free


def jobs(for_each_processor=3):
    """The number of tests to run in parallel: three for each processor, since a test mostly waits,
    limited by memory."""
    return max(1, min(for_each_processor * processors(), memory() // MEMORY_OF_A_TEST))
