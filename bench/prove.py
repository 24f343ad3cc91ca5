#!/usr/bin/env python3
"""`make prove`: shows on a host with KVM, x86-64 or arm64, what emulation can't: boots, correctness
under load, exits, figures beside Linux. Ten minutes; no root where user namespaces and a writable
/dev/net/tun are allowed.

Usage: bench/prove.py [--long [SECONDS]] [--parts WORDS] [--to FILE]

Writes one file, a page with its data as JSON at the end. --long runs the correctness part for an
hour, or so many seconds. The parts are host, boots, correctness, exits, figures.
"""

import argparse
import datetime
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
import types

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path[:0] = [HERE, os.path.join(ROOT, "tests")]
os.environ["SOIL_BENCH_ACCEL"] = "kvm"
os.environ["SOIL_BENCH_ARCH"] = platform.machine()

from harness import kvm  # noqa: E402

# Time limits of the harness are constants of its modules.
if __name__ == "__main__" and not kvm.KIND:
    if reason := kvm.prepare():
        sys.exit(f"error: {reason}")
    os.execv(sys.executable, [sys.executable, *sys.argv])

import boot  # noqa: E402
import disks  # noqa: E402
import exits as counting  # noqa: E402
import measure  # noqa: E402
import network  # noqa: E402
import peer  # noqa: E402
import processes  # noqa: E402
import qemu  # noqa: E402
import target  # noqa: E402
from harness import cross, sandbox  # noqa: E402
from harness.console import PATIENCE, Child  # noqa: E402
from harness.qmp import Monitor  # noqa: E402
from harness.tap import Tap  # noqa: E402

PARTS = ("host", "boots", "correctness", "exits", "figures")
ASSISTED = kvm.KIND == "assisted"
# End-to-end tests (tests/run.py --list): memory that is unmapped on one processor and read on
# others, clocks, gaps between answers, disks with checksums of all that was written.
CORRECTNESS = (
    "processors/threads-",
    "processors/vanishing-",
    "processors/domains-",
    "clocks/keeps-time-",
    "under_load/",
    "storage_torture/",
    "storage_kills/killed-ext4",
)
# What ends in minutes at a million instructions a second.
CORRECTNESS_ASSISTED = ("programs/hello-microvm", "under_load/clocks-and-answers-microvm")
BOOTS = 3 if ASSISTED else 20
DISK = 64 << 20
LINES, REQUESTS, READS = (10, 10, 10) if ASSISTED else (1000, 1000, 1000)
FIGURES = {
    "boot": boot.boot,
    "http": network.http,
    "tcp_rtt": network.tcp_rtt,
    "blk": disks.raw,
}
if not target.FOREIGN:
    FIGURES["host_http"] = processes.GROUPS["host_http"]
# Counters of query-stats in terms of exits, where the host's KVM has them.
COUNTERS = (
    "exits io_exits mmio_exits irq_exits halt_exits signal_exits irq_injections insn_emulation "
    "mmio_exit_user mmio_exit_kernel wfi_exit_stat hvc_exit_stat wfe_exit_stat"
).split()


def output(*words):
    """A command's output, empty if it fails."""
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def host(_options):
    """What the host is."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        fields = dict(line.split(":", 1) for line in file if ":" in line)
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    flags = fields.get("flags", fields.get("Features", "")).split()
    kind, speed = kvm.probe()
    return {
        "date": str(datetime.date.today()),
        "soil": output("git", "describe", "--always", "--dirty") or "not from git",
        "processor": fields.get("model name", fields.get("CPU part", "unknown")),
        "processors": os.cpu_count(),
        "a guest itself": "hypervisor" in flags,
        "architecture": platform.machine(),
        "Linux": platform.release(),
        "KVM": kind,
        "million instructions a second of a guest": round(speed / 1e6, 1),
        "modules": " ".join(sorted(n for n in os.listdir("/sys/module") if n.startswith("kvm"))),
        "clock source": output(
            "cat", "/sys/devices/system/clocksource/clocksource0/current_clocksource"
        ),
        "QEMU": output(qemu.QEMU, "--version").split("\n")[0],
    }


def boots(_options):
    """Milliseconds from the start of QEMU to hello's line."""
    hello, found = boot.image(boot.IMAGES + boot.PROGRAMS["hello"]), {}
    for machine in peer.TRANSPORT:
        times = []
        for _ in range(BOOTS):
            with Child(qemu.soil(hello, [], machine)) as child:
                times.append(child.wait_line("Hello", timeout=PATIENCE)[0] * 1000)
        found[machine] = {
            "boots": len(times),
            "least": round(min(times), 1),
            "median": round(statistics.median(times), 1),
            "most": round(max(times), 1),
        }
    return found


def correctness(options):
    """Runs end-to-end tests under KVM, in turns until the time is over. It has a sandbox of its
    own."""
    words = CORRECTNESS_ASSISTED if ASSISTED else CORRECTNESS
    environment = {**os.environ, "PROVE_SECONDS": "60" if options.long else "10"}
    until = time.monotonic() + options.long
    command = [os.path.join(ROOT, "tests", "run.py"), "--no-build", "--kvm", *words]
    if target.FOREIGN:
        command += ["--arch", target.ARCH]
    passed, failures, turns = 0, [], 0
    while not turns or time.monotonic() < until:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        lines = done.stdout.splitlines()
        passed += sum(line.startswith("ok ") for line in lines)
        if done.returncode != 0:
            failures.append(done.stdout + done.stderr)
        turns += 1
    return {"tests": list(words), "turns": turns, "passed": passed, "failures": failures}


class Counted:
    """A machine whose exits are counted by QEMU's query-stats."""

    def __init__(self, child, path):
        self.child, self.monitor = child, Monitor(path)

    def counters(self):
        """KVM's counters of all its processors."""
        found = {}
        for each in self.monitor.ask("query-stats", target="vcpu"):
            for stat in each["stats"]:
                if stat["name"] in COUNTERS:
                    found[stat["name"]] = found.get(stat["name"], 0) + stat["value"]
        return found

    def per(self, count, work):
        """The counters of `work`, by each of its `count` operations."""
        before = self.counters()
        work()
        after = self.counters()
        return {name: round((after[name] - before[name]) / count, 2) for name in after}


def counted(command, path, work):
    """The result of `work` on a machine that stays after its end, for the counters."""
    monitor = ["-qmp", f"unix:{path},server=on,wait=off", "-action", "shutdown=pause"]
    words = list(command)
    if not target.FOREIGN:
        # With it the image would end QEMU itself.
        at = words.index("isa-debug-exit,iobase=0xf4,iosize=0x04")
        del words[at - 1 : at + 1]
    with Child([*words, *monitor], stdin=subprocess.PIPE) as child:
        return work(Counted(child, path))


def exits(_options):
    """Exits of a boot and of each operation: by KVM's tracepoints, or without the right to use them
    by QEMU's counters, of fewer operations."""
    if reason := counting.missing():
        return {"not by tracepoints": reason} | by_counters()
    found = {}
    for machine in peer.TRANSPORT:
        for row in counting.rows(machine):
            name = ", ".join(row.figures)
            try:
                each = row.measure(row.guests[0], machine)[1]
            except Exception as problem:  # the other rows count, too
                found[name] = f"{type(problem).__name__}: {problem}"
                continue
            found[name] = {what: round(number, 2) for what, number in sorted(each.items())}
    return found


def by_counters():
    """Exits of a boot, and by request, disk read and line on the console."""
    images = {name: boot.image(boot.IMAGES + path) for name, path in boot.PROGRAMS.items()}
    lines = boot.image(f"{boot.IMAGES}tests/programs/read_lines.exe")
    disk_program, found = boot.image(boot.SOIL + "disk.exe"), {}
    path, disk = peer.work("prove.qmp"), peer.work("prove.img")
    with open(disk, "wb") as file:
        file.write(os.urandom(DISK))

    def ended(machine):
        machine.child.wait_line("Hello", timeout=PATIENCE)
        until = time.monotonic() + PATIENCE
        while machine.monitor.ask("query-status")["running"]:
            assert time.monotonic() < until, "hello doesn't end"
            time.sleep(0.05)
        return machine.counters()

    def answered(machine):
        """Echoes over one connection."""
        machine.child.wait_line("echo", timeout=PATIENCE)
        with socket.create_connection((tap.guest, 7), timeout=PATIENCE) as connection:

            def work():
                for _ in range(REQUESTS):
                    connection.sendall(b"x" * 100)
                    left = 100
                    while left:
                        left -= len(connection.recv(left))

            work()
            return machine.per(REQUESTS, work)

    def read(machine):
        machine.child.wait_line("begin", timeout=PATIENCE)
        return machine.per(READS, lambda: machine.child.wait_line("end", timeout=PATIENCE))

    def printed(machine):
        machine.child.wait_line("ready", timeout=PATIENCE)

        def work():
            for number in range(LINES):
                line = f"{number:08d}{'x' * 64}\n"
                machine.child.process.stdin.write(line.encode())
                machine.child.process.stdin.flush()
                machine.child.wait_line(f"got [{number:08d}", timeout=PATIENCE)

        return machine.per(LINES, work)

    for kind in peer.TRANSPORT:
        rows = {"boot": counted(qemu.soil(images["hello"], [], kind), path, ended)}
        with Tap(3) as tap:
            command = qemu.soil(images["echo"], [], kind, tap=tap)
            rows["echo of 100 bytes"] = counted(command, path, answered)
        words = ["random", str(READS), str(DISK)]
        command = qemu.soil(disk_program, words, kind, disk=disk)
        rows["read of 4 KiB"] = counted(command, path, read)
        rows["line in and line out"] = counted(qemu.soil(lines, [], kind), path, printed)
        found[kind] = rows
    return {f"{kind}, {row}": each for kind, rows in found.items() for row, each in rows.items()}


def figures(_options):
    """Main rows of the benchmark beside the Linux micro-VM and the plain process."""
    if ASSISTED:
        return {
            "left out": "by KVM's instruction emulator the Linux micro-VM takes over ten minutes to"
            " boot, and times are the emulator's"
        }
    options = types.SimpleNamespace(pairs=3, seconds=3, machine=next(iter(peer.TRANSPORT)))
    found = []
    for name, group in FIGURES.items():
        try:
            found += [figure.result() for figure in group(options)]
        except Exception as problem:  # a broken group must not lose the others' figures
            found.append({"name": name, "missing": f"{type(problem).__name__}: {problem}"})
    return {"rows": found}


def page(found):
    """The file: for people, and the data."""
    lines = ["# Soil under KVM", ""]
    lines += [
        "Results of `make prove` on one host: the host's processor, kernel and QEMU, times,",
        "counters, and the output of failed tests. It names no user, host or address.",
        "Please attach it to an issue of Soil's project; failures are as welcome as figures.",
    ]
    for name, part in found.items():
        lines += ["", f"## {name.capitalize()}", ""]
        if isinstance(part.get("rows"), list):
            rows = [row for row in part["rows"] if "runs" in row]
            lines += measure.table(rows)
            rest = [row for row in part["rows"] if "runs" not in row]
            lines += [f"no figure: {row['name']}: {row['missing']}" for row in rest]
            continue
        if name == "exits" and "failed" not in part:
            lines += ["Per operation, but for the boot: exits that the guest's instructions cause."]
            lines.append("")
        lines += ["| | |", "|---|---|"]
        for key, value in part.items():
            lines += [f"| {key} | {shown(value)} |"]
    lines += ["", "## Data", "", "```json", json.dumps(found, indent=1), "```", ""]
    return "\n".join(lines)


def shown(value):
    """A value in a cell of a table."""
    if isinstance(value, dict):
        return "; ".join(f"{key}: {shown(each)}" for key, each in value.items())
    if isinstance(value, list):
        return "; ".join(map(shown, value)) or "none"
    return str(value).replace("|", "/").replace("\n", " ")[:300]


def prepare():
    """Builds whatever needs the network, or takes long."""
    words, environment = ["@@default", "@bench/programs/all", "@tests/programs/all"], None
    if target.FOREIGN:
        words, environment = target.foreign_build(), cross.environment()
    subprocess.run(["dune", "build", *words], cwd=ROOT, env=environment, check=True)
    if target.FOREIGN:
        run = [os.path.join(ROOT, "tests", "run.py"), "--build", "--arch", target.ARCH]
        subprocess.run(run, check=True)
    boot.prepare()
    network.prepare()
    disks.prepare()
    if not target.FOREIGN:
        processes.prepare()


def arguments():
    parser = argparse.ArgumentParser(description="What a host with KVM shows of Soil.")
    parser.add_argument(
        "--long",
        nargs="?",
        type=int,
        const=3600,
        default=0,
        metavar="SECONDS",
        help="correctness for an hour, or so many seconds",
    )
    parser.add_argument("--no-build", action="store_true", help="use the programs as they are")
    parser.add_argument("--parts", default=" ".join(PARTS), help="some of: " + ", ".join(PARTS))
    parser.add_argument("--to", default=os.path.join(ROOT, "soil-prove.md"), help="the file")
    options = parser.parse_args()
    options.parts = options.parts.replace(",", " ").split()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    return options


def main():
    options = arguments()
    # The failures' texts may be longer than a variable.
    kept = peer.work("prove.json")
    if not os.environ.get(sandbox.MARK):
        found = {}
        if not options.no_build:
            prepare()
        os.makedirs(peer.WORK, exist_ok=True)
        # Outside of the sandbox: these tests enter their own.
        if "correctness" in options.parts:
            print("correctness …", flush=True)
            found["correctness"] = correctness(options)
        with open(kept, "w", encoding="utf-8") as file:
            json.dump(found, file)
    sandbox.enter()
    with open(kept, encoding="utf-8") as file:
        found = json.load(file)
    for name in PARTS:
        if name in options.parts and name not in found:
            print(f"{name} …", flush=True)
            try:
                found[name] = globals()[name](options)
            except Exception as problem:  # the other parts count, too
                found[name] = {"failed": f"{type(problem).__name__}: {problem}"}
    found = {name: found[name] for name in PARTS if name in found}
    with open(options.to, "w", encoding="utf-8") as file:
        file.write(page(found))
    print(f"written: {options.to}; it says what to do with it")
    bad = [name for name, part in found.items() if part.get("failures") or "failed" in part]
    if bad:
        sys.exit(f"error: failures in {', '.join(bad)}: see the page")


if __name__ == "__main__":
    main()
