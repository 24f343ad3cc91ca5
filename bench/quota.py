"""A slowed processor: a control group with a quota, for the process form and the plain program
alike.

Version 2 of control groups (`cpu.max`) where its controller is free, version 1 (`cpu.cfs_quota_us`)
otherwise; Linux `Documentation/admin-guide/cgroup-v2.rst` and
`Documentation/scheduler/sched-bwc.rst`.
"""

from harness.cgroup import ROOT, Group, Unavailable, write

#: Microseconds of the processor in each period. A short period: what is slow is the processor, it
#: doesn't pause.
QUOTA, PERIOD = 4_000, 10_000


def _version2(folder):
    write(f"{folder}/cpu.max", f"{QUOTA} {PERIOD}")


def _version1(folder):
    write(f"{folder}/cpu.cfs_period_us", str(PERIOD))
    write(f"{folder}/cpu.cfs_quota_us", str(QUOTA))


class Quota(Group):
    """A group with that quota."""

    def __init__(self):
        old = [(f"{ROOT}/{name}", _version1) for name in ("cpu", "cpu,cpuacct")]
        super().__init__("processor time", (ROOT, _version2), *old)


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
