"""How bench/ handles guests that don't start, guests without an answer, and runs without a figure;
needs no machine."""

import json
import os
import sys

from harness.console import Timeout
from harness.context import ROOT
from harness.runner import test

sys.path.insert(0, os.path.join(ROOT, "bench"))
import boot  # noqa: E402
import exits  # noqa: E402
import machines  # noqa: E402
import measure  # noqa: E402
import qemu  # noqa: E402
import run  # noqa: E402
import start  # noqa: E402

RUN = {"date": "2026-11-25", "commit": "abc"}


def guest(context, kind, script):
    """The words of a guest that is a script; -initrd marks it as the peer."""
    count = context.path("count")
    words = ["sh", "-c", f"echo >>{count}; count=$(wc -l <{count}); {script}", kind]
    return words + (["-initrd", "archive"] if kind == "peer" else [])


def starts(context):
    with open(context.path("count"), encoding="ascii") as file:
        return len(file.readlines())


@test()
def a_peer_that_does_not_start_is_started_again(context):
    """A failed start is counted and reported; a peer gets five starts at most, Soil's image one."""
    start.repeated.clear()
    start.group = "boot"
    assert start.summary() == "each start of the peer worked"
    third = guest(context, "peer", '[ "$count" -lt 3 ] || { echo ready; sleep 100; }')
    with start.started(third, start.said("ready")) as (child, seconds):
        assert seconds > 0 and child.process.poll() is None
    assert starts(context) == 3
    expected = "starts of the peer that were repeated: 2 (boot 2)"
    assert start.summary() == expected, start.summary()
    for kind, most in (("soil", 1), ("peer", start.STARTS)):
        before = starts(context)
        try:
            with start.started(guest(context, kind, "exit 3"), start.said("ready")):
                raise AssertionError("it started")
        except Timeout:
            pass
        assert starts(context) - before == most, kind


@test()
def a_guest_that_answers_nothing_is_a_no(context):
    """A client that times out counts as one that fails; the least memory then is that of the guests
    that answered."""
    assert boot.succeeds(["true"]) and not boot.succeeds(["false"])
    assert not boot.succeeds(["sleep", "100"], timeout=0.1)
    ready = guest(context, "soil", "echo ready; sleep 100")
    assert not boot.says(ready, "ready", lambda: boot.succeeds(["sleep", "100"], timeout=0.1))
    assert boot.says(ready, "ready", lambda: boot.succeeds(["true"]))
    assert boot.least(lambda mem: mem > 5, 2, 32) == 6
    assert boot.least(lambda mem: False, 2, 32) is None


@test()
def both_guests_for_arm_have_the_same_machine(context):
    """With another processor the machine, the processor and the peer's console are its own, for
    each guest and the empty image."""
    program = """import json, peer, qemu
tap = type("Tap", (), {"name": "t", "guest": "g", "guest_cidr": "g/24", "host": "h"})
peer.kernel = lambda flavour: [flavour]
for machine in peer.TRANSPORT:
    print(json.dumps([
        qemu.soil("image", ["word"], machine, tap=tap, disk="disk"),
        qemu.linux("archive", [], ["word"], machine, tap=tap, disk="disk"),
        qemu.floor("floor", machine),
    ]))
"""
    environment = {**os.environ, "SOIL_BENCH_ARCH": "aarch64"}
    words = ("python3", "-B", "-c", program)
    folder = os.path.join(ROOT, "bench")
    rows = context.run(*words, cwd=folder, env=environment).stdout.splitlines()
    for line, bus in zip(rows, ("device", "pci"), strict=True):
        guests = json.loads(line)
        for words in guests:
            machine, processor = (words[words.index(word) + 1] for word in ("-M", "-cpu"))
            assert (machine, processor) == ("virt", "neoverse-n1"), words
            assert not any("isa-" in word for word in words), words
        soil, linux, _ = guests
        assert f"virtio-blk-{bus},drive=d0,serial=data" in soil, soil
        assert soil[soil.index("-netdev") :] == linux[linux.index("-netdev") :], linux
        assert "cloud-arm64" in linux and "console=ttyAMA0" in " ".join(linux), linux


@test()
def disks_of_both_guests_have_the_same_machine(_):
    """A controller takes the place of virtio-blk, and nothing else changes."""
    command = qemu.command("kernel", "", machine="q35", disk="disk.img")
    for kind, words in machines.CONTROLLERS.items():
        other = machines.behind(command, kind)
        assert [word for word in command if word not in other] == [
            "virtio-blk-pci,drive=d0,serial=data"
        ], other
        assert " ".join(words) in " ".join(other), other
        assert len(other) == len(command) - 2 + len(words), other
    ours, theirs = (machines.machine(disk, "uefi") for disk in ("ours", "theirs"))
    assert ours == [word.replace("theirs", "ours") for word in theirs]


def result(name, soil, **more):
    figure = measure.Figure(name, "ms", "lower")
    figure.add(soil, 2 * soil)
    return {**figure.result(), **more}


@test()
def a_run_without_a_figure_says_so(_):
    """Figures of a group that failed or gave fewer are missing, in a whole run all figures that it
    didn't measure; rows of groups outside the run stay."""
    stored = [
        result("http_rps_c8", 1.0),
        result("boot_first_line_ms", 1.0, group="boot", date="2026-11-20"),
        result("tcp_rtt_us_p50", 1.0, group="tcp_rtt", date="2026-11-20"),
        result("compute_ratio", 1.0, group="compute", date="2026-11-20"),
    ]

    def broken(_options):
        measure.Figure("boot_first_line_ms", "ms", "lower").add(3.0, 4.0)
        measure.Figure("boot_floor_ratio", "times", "lower")
        raise TimeoutError("no line\nwith begin")

    asked = {
        "boot": run.measured("boot", broken, None),
        "tcp_rtt": run.measured("tcp_rtt", lambda _options: [], None),
    }
    assert asked["boot"][2] == "TimeoutError: no line with begin", asked
    new = [result("blk_rand_read_iops", 7.0, group="blk", date="2026-11-24")]
    rows = {each["name"]: each for each in run.merged(stored, new, asked, False, RUN)}
    missing = {name: each.get("missing") for name, each in rows.items()}
    assert missing == {
        "boot_first_line_ms": "TimeoutError: no line with begin",
        "boot_floor_ratio": "TimeoutError: no line with begin",
        "http_rps_c8": None,
        "tcp_rtt_us_p50": "the run had none",
        "blk_rand_read_iops": None,
        "compute_ratio": None,
    }, missing
    assert rows["tcp_rtt_us_p50"].items() >= RUN.items(), rows["tcp_rtt_us_p50"]
    assert measure.table([rows["tcp_rtt_us_p50"]])[-1].endswith(" | 2026-11-25 abc |"), rows
    whole = run.merged(stored, new, {"blk": (new, [], None)}, True, RUN)
    without = [each["name"] for each in whole if "missing" in each]
    assert without == [each["name"] for each in whole if each["name"] != "blk_rand_read_iops"]


# As perf prints KVM's tracepoints.
EXITS = """\
 1.000001:     kvm:kvm_pio: pio_write at 0xcf8 size 4 count 1 val 0x80000000
 1.000002:     kvm:kvm_pio: pio_write at 0x518 size 4 count 1 val 0x506f0000
 2.000001:     kvm:kvm_pio: pio_read at 0xcfc size 2 count 1 val 0xffff
 2.000002:     kvm:kvm_pio: pio_write at 0x3f8 size 1 count 1 val 0x48
 2.000003:     kvm:kvm_msr: msr_write c0000100 = 0x198750
 2.000004:     kvm:kvm_msr: msr_write 838 = 0x3d090
 2.000005:     kvm:kvm_msr: msr_read 1b = 0xfee00900
 2.000006:     kvm:kvm_cpuid: func 1 idx 0 rax a10f11 rbx 800 rcx 0 rdx 0, cpuid entry found
 2.000007:     kvm:kvm_mmio: mmio unsatisfied-read len 4 gpa 0xfeb02e60 val 0x0
 2.000008:     kvm:kvm_mmio: mmio read len 4 gpa 0xfeb02e60 val 0x1
 2.000009:     kvm:kvm_mmio: mmio write len 4 gpa 0xfeb02e64 val 0x1
 3.000001:     kvm:kvm_mmio: mmio write len 4 gpa 0xfeb02e50 val 0x1
 3.000002:     kvm:kvm_fast_mmio: fast mmio at gpa 0xfe003000
 3.000003: kvm:kvm_vcpu_wakeup: wait time 4997288 ns, polling valid
"""


@test()
def exits_are_counted_by_kind(_):
    """Each of KVM's tracepoints is one exit of a kind, but for a read that is announced first and
    MSRs that KVM leaves to the processor; the firmware's are left out, or all before a time."""
    found = exits.parsed(EXITS)
    assert exits.tally(found) == {
        "PCI port": 1,
        "UART port": 1,
        "MSR of a timer or an end of interrupt": 1,
        "other MSR": 1,
        "cpuid": 1,
        "status read": 1,
        "acknowledgement": 1,
        "notification": 2,
        "halt": 1,
    }, exits.tally(found)
    assert exits.tally(found, 2.5, 3.0000015) == {"notification": 1}
    lost = ""
    try:
        exits.parsed(EXITS + "  4.000001: PERF_RECORD_LOST lost 5\n")
    except exits.Lost as problem:
        lost = str(problem)
    assert "lost 5" in lost, lost
