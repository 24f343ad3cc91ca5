"""Exits of machines under KVM, the `kvm_exits_*` figures: those that the guest's instructions
cause, as KVM's tracepoints report them to perf. Few of these numbers depend on the machine's speed.

Interrupts of the host and page faults are not among them, nor MSRs that KVM leaves to the processor
(its instruction emulator reports them, too). The firmware's part of a boot isn't counted: it ends
with the last transfer of QEMU's device for firmware, of the guest's kernel.
"""

import collections
import contextlib
import os
import selectors
import shutil
import socket
import subprocess
import tempfile
import time

import peer
import qemu
from boot import IMAGES, LINUX, PROGRAMS, SOIL, built, image
from harness import kvm
from harness.console import Child
from harness.qmp import Monitor
from harness.tap import Tap
from measure import Figure
from target import FOREIGN

EVENTS = "pio mmio fast_mmio msr cpuid hypercall vcpu_wakeup".split()
# MSRs that KVM lets guests access directly: the counter, SYSENTER's and SYSCALL's, segments' bases.
DIRECT = {0x10, 0x174, 0x175, 0x176, *range(0xC0000081, 0xC0000085), *range(0xC0000100, 0xC0000103)}
# Of the local APIC: its timer and the ends of interrupts; interrupts between processors.
TIMER, BETWEEN = {0x6E0, 0x80B, 0x838, 0x839, 0x83E}, {0x830}
# QEMU's device for firmware, the low half of a transfer's address, which starts it.
TRANSFER = 0x518
# virtio-mmio of a microvm: registers of each device's 512 bytes (virtio 1.3, 4.2.2).
MMIO, MMIO_END, NOTIFY, STATUS, ACKNOWLEDGE = 0xFEB00000, 0xFEB10000, 0x50, 0x60, 0x64
DISK = 64 << 20
ORDER = """kvm_exits_boot kvm_exits_boot_pci kvm_exits_boot_q35 kvm_exits_boot_pci_q35
kvm_exits_echo kvm_exits_echo_status kvm_exits_http_c64 kvm_exits_read_1 kvm_exits_read_32
kvm_exits_durable_write kvm_exits_console_line kvm_exits_wake kvm_exits_idle_second
kvm_exits_idle_second_threads kvm_exits_thread_switch kvm_exits_compute_10ms""".split()


def kind(event, words):
    """The kind of an exit from its tracepoint's name and text; None if it is none."""
    if event == "pio":
        port = int(words[2], 16)
        if port == TRANSFER:
            return "transfer"
        ranges = {"PCI port": (0xCF8, 0xD00), "UART port": (0x3F8, 0x400)}
        found = [name for name, (first, end) in ranges.items() if first <= port < end]
        return found[0] if found else "other port"
    if event == "msr":
        msr = int(words[1], 16)
        kinds = {
            "MSR of a timer or an end of interrupt": TIMER,
            "interrupt to a processor": BETWEEN,
        }
        found = [name for name, msrs in kinds.items() if msr in msrs]
        return None if msr in DIRECT else found[0] if found else "other MSR"
    if event == "mmio":
        return register(words[1], int(words[words.index("gpa") + 1], 16))
    names = {"fast_mmio": "notification", "vcpu_wakeup": "halt"}
    return names.get(event, event)


def register(access, address):
    """The kind of an access to a device's memory; none if KVM reports it again, once the monitor has
    answered it."""
    if access == "unsatisfied-read":
        return None
    if 0xFEC00000 <= address < 0xFF000000:
        return "interrupt controller"
    if not MMIO <= address < MMIO_END:
        return "notification" if access == "write" else "device register"
    names = {NOTIFY: "notification", STATUS: "status read", ACKNOWLEDGE: "acknowledgement"}
    return names.get(address & 0x1FF, "device register")


class Lost(Exception):
    """Some exits weren't recorded: the host was too busy."""


def parsed(text):
    """The exits in the output of `perf script`: (seconds, kind)."""
    found = []
    for line in text.splitlines():
        if "PERF_RECORD_LOST" in line:
            raise Lost(f"perf has lost records, so that exits are missing: {line.strip()}")
        time_, event, text = line.split(":", 2)[0], *line.split("kvm:kvm_", 1)[1].split(":", 1)
        if what := kind(event, text.split()):
            found.append((float(time_), what))
    return found


def tally(exits, begin=None, end=None):
    """The exits by kind between two times, or from the firmware's end."""
    if begin is None:
        transfers = [at for at, what in exits if what == "transfer"]
        begin = max(transfers, default=0)
    between = (what for at, what in exits if begin < at <= (end or float("inf")))
    return collections.Counter(what for what in between if what != "transfer")


def missing():
    """Why exits can't be counted here, or None."""
    if FOREIGN:
        return "the tracepoints' kinds are those of x86-64"
    if reason := kvm.missing():
        return reason
    if not shutil.which("perf"):
        return "perf is missing"
    probe = ["perf", "stat", "-e", "kvm:kvm_pio", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    return "KVM's tracepoints aren't this user's: they need root" if done.returncode else None


def patience():
    """Seconds to wait for a guest's line."""
    kind_, speed = kvm.probe()
    return 60 * (kvm.SLOWEST if kind_ == "assisted" else max(1, kvm.INSTRUCTIONS // speed))


@contextlib.contextmanager
def running(command, **options):
    """Runs a machine whose exits are recorded: the child, and a list that has them when the machine
    has ended."""
    folder = tempfile.mkdtemp(dir=peer.WORK)
    data, monitor = os.path.join(folder, "perf"), os.path.join(folder, "qmp")
    words = list(command)
    if kvm.probe()[0] == "assisted" and not kvm.KIND:
        words[0] = os.path.join(kvm.with_library(), words[0])
    events = ",".join("kvm:kvm_" + each for each in EVENTS)
    record = ["perf", "record", "-q", "-k", "CLOCK_MONOTONIC", "-o", data, "-e", events, "--"]
    words += ["-qmp", f"unix:{monitor},server=on,wait=off"]
    found = []
    try:
        with Child([*record, *words], **options) as child:
            yield child, found
            # One that ends by itself has no monitor any more.
            with contextlib.suppress(OSError, ValueError):
                Monitor(monitor, timeout=1).ask("quit")
            child.finish(patience())
        script = ["perf", "script", "-i", data, "-F", "time,event,trace", "--show-lost-events"]
        done = subprocess.run(script, capture_output=True, text=True, check=True)
        found += parsed(done.stdout)
    finally:
        shutil.rmtree(folder)


def counted(command, work, **options):
    """The exits of a machine by kind while `work` is done, and the number of its operations. `work`
    gets the child, and returns that number, and when the operations began and ended."""
    with running(command, **options) as (child, exits):
        count, begin, end = work(child)
    return {what: number / count for what, number in tally(exits, begin, end).items()}


def at(child, text, after=0):
    """When the host got the first line with `text`, in time.monotonic's seconds."""
    return child.started + child.wait_line(text, patience(), after)[0]


def marked(count, first="begin", last="end"):
    """Operations between the guest's lines."""
    return lambda child: (count, at(child, first), at(child, last))


def booted(child):
    """A boot to the end of the machine."""
    child.finish(patience())
    assert "Hello" in child.text, child.text
    return 1, None, None


def echoes(tap, count):
    """`count` echoes of 100 bytes over one connection."""

    def work(child):
        at(child, "ready")
        with socket.create_connection((tap.guest, 7), timeout=patience()) as connection:

            def echo(times):
                for _ in range(times):
                    connection.sendall(b"x" * 100)
                    left = 100
                    while left:
                        received = connection.recv(left)
                        assert received, "the connection ended"
                        left -= len(received)

            echo(3)
            begin = time.monotonic()
            echo(count)
            return count, begin, time.monotonic()

    return work


def requests(tap, count, connections=64):
    """`count` requests of so many connections, each of which waits for its response."""

    def work(child):
        at(child, "ready")
        selector = selectors.DefaultSelector()
        left, begin = count, None
        with contextlib.ExitStack() as stack:
            for _ in range(connections):
                address = (tap.guest, 80)
                one = stack.enter_context(socket.create_connection(address, timeout=patience()))
                selector.register(one, selectors.EVENT_READ, bytearray())
            begin = time.monotonic()
            for key in list(selector.get_map().values()):
                key.fileobj.sendall(b"GET / HTTP/1.1\r\n\r\n")
            while left > 0:
                for key, _ in selector.select(patience()):
                    received = key.fileobj.recv(65536)
                    assert received, "the connection ended"
                    key.data.extend(received)
                    head = key.data.find(b"\r\n\r\n")
                    if head >= 0 and len(key.data) >= head + 4 + 1024:
                        del key.data[: head + 4 + 1024]
                        left -= 1
                        key.fileobj.sendall(b"GET / HTTP/1.1\r\n\r\n")
            return count, begin, time.monotonic()

    return work


def idle(seconds):
    """Seconds without work, of a server that waits."""

    def work(child):
        at(child, "ready")
        time.sleep(3)
        begin = time.monotonic()
        time.sleep(seconds)
        return seconds, begin, begin + seconds

    return work


def of(*kinds):
    """The sum of some kinds."""
    return lambda exits: sum(exits.get(each, 0) for each in kinds)


def but_timer(exits):
    """All but those for timers, whose number per operation is the machine's speed."""
    return sum(exits.values()) - of("MSR of a timer or an end of interrupt")(exits)


def total(exits):
    return sum(exits.values())


class Row:
    """Machines that do one kind of work. `guests` are Soil's and the peer's, as functions of the
    machine and a TAP; `figures` are by their names the measure of the exits of an operation."""

    def __init__(self, guests, work, figures, networked=False):
        self.guests, self.work, self.figures = guests, work, figures
        self.networked = networked

    def measure(self, guest, machine):
        """A figure's value by its name, and the exits of an operation."""
        with Tap(3) if self.networked else contextlib.nullcontext() as tap:
            exits = counted(guest(machine, tap), self.work(tap))
        return {name: of_kinds(exits) for name, of_kinds in self.figures.items()}, exits


def program(path, words, archive, modules=(), **device):
    """Soil's guest and the peer's that run one program. `archive` may have a place for the
    machine."""

    def soil(machine, tap):
        return qemu.soil(image(path), words, machine, tap=tap, **device)

    def linux(machine, tap):
        needed = [*peer.TRANSPORT[machine], *modules] if modules else []
        cpio = peer.work(archive.format(machine) + ".cpio")
        return qemu.linux(cpio, needed, words, machine, tap=tap, **device)

    return soil, linux


def rows(machine):
    """The rows of a machine, in sizes for the host's speed; they share a disk, which is there until
    the last one."""
    os.makedirs(peer.WORK, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=peer.WORK, suffix=".img") as file:
        file.truncate(DISK)
        yield from rows_with(machine, file.name)


def rows_with(machine, disk):
    """The same, with this disk."""
    slow = kvm.probe()[0] == "assisted"
    n = 20 if slow else 1000
    serve = [SOIL + "serve.exe", "net-{}", peer.NET]

    def server(mode, port):
        path, archive, modules = serve
        return program(path, [mode, str(port)], archive, modules)

    def storage(*words):
        path = SOIL + "storage/storage.exe"
        return program(path, words, "storage-{}", peer.DISK, disk=disk)

    def reads(depth, count):
        return storage(f"random-read/{depth}/{count}/{DISK}")

    def threads(*words):
        return program(IMAGES + "bench/programs/unmodified/threads.exe", words, "threads")

    hello = program(IMAGES + PROGRAMS["hello"], [], "hello")
    pci, suffix = of("PCI port"), "" if machine == "microvm" else "_" + machine
    boot = {"boot" + suffix: total, "boot_pci" + suffix: pci}
    yield Row(hello, lambda _: booted, boot)
    if suffix:
        return
    yield Row(
        server("echo", 7),
        lambda tap: echoes(tap, n),
        {"echo": of("notification"), "echo_status": of("status read")},
        networked=True,
    )
    answered = {"http_c64": of("notification")}
    yield Row(server("http", 80), lambda tap: requests(tap, 10 * n), answered, networked=True)
    for depth, count in ((1, 2 * n), (32, 20 * n)):
        name = {f"read_{depth}": of("notification")}
        yield Row(reads(depth, count), lambda _, count=count: marked(count), name)
    yield Row(
        storage("random-read/1/1/4096", f"flushes/{n}"),
        lambda _: marked(n, "end", "value"),
        {"durable_write": of("notification")},
    )
    _, linux = program(SOIL + "lines.exe", [str(n)], "lines")

    def soil(machine, tap):
        return qemu.soil(image(SOIL + "lines.exe"), [str(n)], machine, tap=tap, port=True)

    yield Row((soil, linux), lambda _: marked(n), {"console_line": but_timer})
    domains = program(SOIL + "domains.exe", ["hand_over", str(10 * n)], "domains-{}", cpus=2)
    yield Row(domains, lambda _: marked(10 * n), {"wake": but_timer})
    seconds = 10
    yield Row(server("echo", 7), lambda _: idle(seconds), {"idle_second": of("halt")}, True)
    waits = threads("idle", str(seconds))
    yield Row(waits, lambda _: marked(seconds), {"idle_second_threads": of("halt")})
    turns = 10 * n
    switch = {"thread_switch": but_timer}
    yield Row(threads("yield", str(turns)), lambda _: marked(turns), switch)
    trees = program(SOIL + "trees.exe", ["10", str(20 * n)], "trees")
    yield Row(trees, lambda _: by_time(0.01), {"compute_10ms": total})


def by_time(unit):
    """Units of time between the guest's lines."""

    def work(child):
        begin, end = at(child, "begin"), at(child, "end")
        return (end - begin) / unit, begin, end

    return work


def prepare():
    """The peer's archive that no other group has."""
    peer.initramfs("lines", [], built(LINUX + "lines.exe"))


def kvm_exits(options):
    """All rows, on Soil and on the peer."""
    figures = []
    with qemu.accelerated("kvm"):
        for machine in peer.TRANSPORT:
            for row in rows(machine):
                found = {
                    name: Figure("kvm_exits_" + name, "exits", "lower") for name in row.figures
                }
                soil, linux = row.guests
                ours, _ = row.measure(soil, machine)
                theirs, _ = row.measure(linux, machine) if peers() else ({}, None)
                for name, figure in found.items():
                    figure.add(ours[name], theirs.get(name))
                figures += found.values()
    return figures


def peers():
    """Whether the peer is measured, too: by KVM's instruction emulator it takes minutes to boot."""
    return kvm.probe()[0] == "native"


GROUPS = {"kvm_exits": kvm_exits}
