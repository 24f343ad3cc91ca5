"""Under KVM, as root: exits that a machine's work causes, counted as in the benchmark's rows
`kvm_exits_*`, within their limits."""

import os
import sys

from harness import kvm
from harness.context import ARCH, ROOT, USED, Skip
from harness.runner import test

# Of an operation. HTTP's and the switches' rows depend on the host's speed: they are the
# benchmark's only.
LIMITS = {
    "boot": 250,
    "boot_pci": 70,
    "boot_q35": 250,
    "boot_pci_q35": 70,
    # 1.75, but for acknowledgements of their own that a slow machine sends.
    "echo": 2,
    "echo_status": 1,
    "read_1": 1,
    "read_32": 0.4,
    "durable_write": 2,
    "console_line": 2,
    "wake": 2,
    "idle_second": 2,
    "idle_second_threads": 21,
    "compute_10ms": 1,
}
TESTS = {
    "boot": ("microvm", "q35"),
    "echo": ("microvm",),
    "read_1": ("microvm",),
    "read_32": ("microvm",),
    "durable_write": ("microvm",),
    "console_line": ("microvm",),
    "wake": ("microvm",),
    "idle_second": ("microvm",),
    "idle_second_threads": ("microvm",),
    "compute_10ms": ("microvm",),
}


def measured(machine, name):
    """A row's values by their names, and what they were counted from."""
    sys.path.insert(0, os.path.join(ROOT, "bench"))
    import exits
    import qemu

    if reason := exits.missing():
        raise Skip(reason)
    USED.add(name)
    with qemu.accelerated("kvm"):
        of_name = (row for row in exits.rows(machine) if next(iter(row.figures)).startswith(name))
        row = next(of_name)
        return row.measure(row.guests[0], machine)


def add(name, machines):
    @test(name=name.replace("_", "-"), limit=60 * len(machines), long=name != "boot")
    def within_limits(_context, name=name):
        """An operation's exits are within the limit of its row."""
        for machine in machines:
            values, exits = measured(machine, name)
            for each, value in values.items():
                assert value <= LIMITS[each], f"{each}: {value}, limit {LIMITS[each]}; {exits}"


if kvm.KIND and not ARCH:
    for each, machines in TESTS.items():
        add(each, machines)
