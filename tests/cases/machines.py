"""Kinds of machines, what asks them to stop from outside, and how they tell their end."""

import contextlib
import json
import signal
import socket
import subprocess
import time

from cases import block_devices, display, network, programs
from harness.console import PATIENCE, falls_asleep
from harness.context import ACCEL, PROCESSOR, QEMU, USED, kernel, outcome
from harness.qmp import Monitor
from harness.runner import test

MACHINES = ("microvm", "q35", "pc")
CPU = "host" if ACCEL == "kvm" else "qemu64,+rdrand" if PROCESSOR == "x86_64" else "max"
SIGNALS = "tests/programs/signals.exe"
# Waits for input, and leaves SIGTERM to its default action.
WAITS = "tests/programs/read_lines.exe"


def attach(path):
    """A connection to a socket that QEMU opens."""
    attached = socket.socket(socket.AF_UNIX)
    attached.settimeout(PATIENCE)
    until = time.monotonic() + PATIENCE
    while True:
        try:
            attached.connect(path)
            return attached
        except (FileNotFoundError, ConnectionRefusedError):
            assert time.monotonic() < until, "QEMU opens no socket"
            time.sleep(0.02)


class Bare:
    """QEMU as another launcher starts it: without `soil run`, and without the device for its exit
    status. The console is the child's output, `monitor` that of QEMU."""

    def __init__(
        self, context, program, machine, *words, devices=(), append="", serial="stdio",
        attached=None, name="bare", cpu=CPU,
    ):  # fmt: skip
        self.context = context
        USED.add(program)
        path = context.path(f"{name}-{machine.split(',')[0]}.qmp")
        arguments = " -- " + " ".join(words) if words else ""
        self.child = context.child(
            [QEMU, "-M", f"{machine},accel={ACCEL}", "-cpu", cpu, "-m", "64M"]
            + ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
            + ["-S", "-serial", serial, "-qmp", f"unix:{path},server=on,wait=off", *devices]
            + ["-kernel", kernel(context, program, machine), "-append", append + arguments],
            stdin=subprocess.PIPE,
        )
        # QEMU waits for this before it opens its monitor.
        self.attached = attach(attached) if attached else None
        self.monitor = Monitor(path)
        # Not before: a program that ends at once would take the monitor with it.
        self.monitor.ask("cont")

    def human(self, command):
        """A command of QEMU's human monitor."""
        return self.monitor.ask("human-monitor-command", **{"command-line": command})

    def listens(self):
        """Waits until the machine has halted: from then on it takes requests."""
        assert falls_asleep(self.child.pid, 0.3), "the machine doesn't halt"

    def ends(self):
        """QEMU's status, the console's output, and the events on the monitor until QEMU's end."""
        events = []
        self.monitor.socket.settimeout(self.context.remaining())
        # A reset: QEMU has ended without reading the last command.
        with contextlib.suppress(ConnectionResetError):
            while line := self.monitor.file.readline():
                events.append(json.loads(line))
        status, text = outcome(self.child, self.context)
        return status, text, events


@test(limit=120)
def a_pc_runs_programs(context):
    """On i440fx, which QEMU makes by default: output, statuses by isa-debug-exit, random numbers,
    threads, input."""
    wanted = ("hello", "exit-0", "exit-200", "uncaught", "aborts", "random-numbers", "arguments")
    found = {each.label: each for each in programs.PROGRAMS}
    for label in wanted:
        found[label].check(context, "pc")
    child = context.soil(WAITS, "pc", stdin=subprocess.PIPE)
    child.wait_line("ready")
    child.process.stdin.write(b"one\nend\n")
    child.process.stdin.flush()
    status, text = outcome(child, context)
    assert status == 0 and "got [one]\n" in text, text


@test(limit=120)
def a_pc_has_all_devices(context):
    """Networks, disks, displays, keyboards and pointers of virtio over PCI, as on q35."""
    network.tcp_echo(context, "pc")
    path = block_devices.disk(context)
    for form in ("q35", "pc"):
        block_devices.run(context, form, ["partitions", "data"], {"data": path})
    display.displays_and_their_pictures(context, "pc")


@test(limit=120)
def a_machine_ends_by_acpi(context):
    """Without isa-debug-exit an image switches the machine off by ACPI (PIIX4's or ICH9's power
    management, or hardware-reduced), and a restart resets it: QEMU reports which."""
    hello = "examples/hello/main.exe"
    for machine in MACHINES:
        status, text, events = Bare(context, hello, machine).ends()
        ends = [each["data"] for each in events if each["event"] == "SHUTDOWN"]
        assert status == 0 and "Hello" in text, f"{machine}: {status}\n{text}"
        assert ends == [{"guest": True, "reason": "guest-shutdown"}], f"{machine}: {events}"
    for machine in MACHINES:
        bare = Bare(context, "tests/programs/soil/reboots.exe", machine, name="reboots")
        status, text, events = bare.ends()
        ends = [each["data"]["reason"] for each in events if each["event"] == "SHUTDOWN"]
        assert ends == ["guest-reset"], f"{machine}: {events}\n{text}"


# A microvm has a keyboard controller only when asked.
KEYBOARD = {"microvm": ("-device", "i8042"), "q35": (), "pc": ()}
# How each asks an image to stop.
REQUESTS = {
    "button": lambda bare: bare.monitor.ask("system_powerdown"),
    "ctrl-alt-del": lambda bare: bare.human("sendkey ctrl-alt-delete"),
}


@test(limit=240)
def stop_requests_are_sigterm(context):
    """The power button and Ctrl-Alt-Del, on each machine: a program's handler of SIGTERM runs, a
    program without one ends with status 143."""
    for machine in MACHINES:
        for name, request in REQUESTS.items():
            handles = Bare(context, SIGNALS, machine, "term", devices=KEYBOARD[machine], name=name)
            handles.child.wait_line("ready")
            handles.listens()
            request(handles)
            _, text, _ = handles.ends()
            assert "asked to stop\nthe end\n" in text, f"{machine}, {name}:\n{text}"
            assert text.endswith("\nsoil: status 7\n"), f"{machine}, {name}:\n{text}"
            leaves = Bare(context, WAITS, machine, devices=KEYBOARD[machine], name=f"{name}-left")
            leaves.child.wait_line("ready")
            leaves.listens()
            request(leaves)
            _, text, _ = leaves.ends()
            end = f"soil: status {128 + signal.SIGTERM}\n"
            assert text.endswith(end), f"{machine}, {name}:\n{text}"


PVPANIC = {
    "microvm": ("pvpanic",),
    "q35": ("pvpanic", "pvpanic-pci"),
    "pc": ("pvpanic", "pvpanic-pci"),
}


@test(limit=120)
def a_crash_is_reported_to_pvpanic(context):
    """By the device on ISA and on PCI, once, after the report and the status; a program that fails
    or succeeds reports nothing."""
    for machine, devices in PVPANIC.items():
        for device in devices:
            for program, words, status, crashes in (
                ("aborts", (), 134, 1),
                ("exit_status", ("3",), 3, 0),
                ("exit_status", ("0",), 0, 0),
            ):
                bare = Bare(
                    context,
                    f"tests/programs/{program}.exe",
                    machine,
                    *words,
                    devices=("-device", device),
                    name=f"{device}-{program}-{status}",
                )
                _, text, events = bare.ends()
                found = [each["event"] for each in events].count("GUEST_PANICKED")
                assert found == crashes, f"{machine}, {device}, {program}: {events}\n{text}"
                assert text.endswith(f"soil: status {status}\n"), text
                assert ("soil: crash" in text) == (crashes == 1), text


@test(limit=120)
def the_last_line_is_the_status(context):
    """Of a machine without isa-debug-exit and without `soil run`: on a line of its own, also after
    output that ends within a line. With the device there is none, and neither under `soil run`."""
    program, shown = "tests/programs/exit_status.exe", "leaving with 3\nat_exit runs\n"
    exit_device = ("-device", "isa-debug-exit,iobase=0xf4,iosize=4")
    for machine in MACHINES:
        _, text, _ = Bare(context, program, machine, "3", name="without").ends()
        assert text == f"{shown}soil: status 3\n", f"{machine}: {text!r}"
        streams = "tests/programs/streams.exe"
        _, text, _ = Bare(context, streams, machine, "unfinished", name="unfinished").ends()
        assert text == "no newline\nsoil: status 0\n", f"{machine}: {text!r}"
        bare = Bare(context, program, machine, "3", devices=exit_device, name="with")
        status, text, _ = bare.ends()
        assert (status, text) == (3 << 1 | 1, shown), f"{machine}: {status}, {text!r}"
        status, text = outcome(context.soil("exit_status", machine, "3"), context)
        assert (status, text) == (3, shown), f"{machine}: {status}, {text!r}"


@test(limit=120)
def a_machine_check_is_reported(context):
    """An error of the hardware, which QEMU's monitor injects, ends the image with a report."""
    for machine in MACHINES:
        bare = Bare(context, WAITS, machine, name="check")
        bare.child.wait_line("ready")
        # Valid, uncorrected, enabled, with a corrupt context.
        answer = bare.human("mce 0 1 0xb200000000000005 4 0 0")
        assert not answer, answer
        _, text, _ = bare.ends()
        report = "soil: crash: machine check: the processor or the memory has failed "
        assert f"{report}(vector 18, status 0xb200000000000005)" in text, f"{machine}:\n{text}"
        assert text.endswith("soil: status 139\n"), f"{machine}:\n{text}"


@test(limit=120)
def random_numbers_without_a_source(context):
    """A processor without RDRAND in a machine without virtio-rng: its counter's jitter, which one
    line says, with the remedy."""
    for machine, cpu in (("microvm", "kvm64"), ("q35", "qemu64"), ("pc", "Nehalem")):
        program = "tests/programs/random_numbers.exe"
        _, text, _ = Bare(context, program, machine, name="random", cpu=cpu).ends()
        assert text.count("random numbers come from the jitter") == 1, f"{cpu}:\n{text}"
        assert "-device virtio-rng-pci" in text, f"{cpu}:\n{text}"
        assert "self_init differs: true\n" in text, f"{cpu}:\n{text}"
        assert text.endswith("soil: status 0\n"), f"{cpu}:\n{text}"
