"""Disks as sectors (`Soil.Block`): slices, discard, resizing, depth, partitions, disks that don't
answer."""

import contextlib
import os
import re
import tempfile
import time

from cases.disks import loop_mounted
from cases.system_calls import calls_in, need_strace
from harness import faulty
from harness.console import PATIENCE, Timeout
from harness.context import FORMS, MACHINES, ROOT, executable, outcome
from harness.qmp import Monitor
from harness.runner import test

PROGRAM = "tests/programs/soil/block_work.exe"


def disk(context, name="disk.img", size=16 << 20, path=None):
    path = path or context.path(name)
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def run(context, form, words, disks, options=()):
    named = [word for name, path in disks.items() for word in ("--disk", f"{name}={path}")]
    status, output = outcome(
        context.soil(PROGRAM, form, *words, options=[*named, *options]), context
    )
    assert status == 0, f"{form} {words}: {output}"
    return output


def stuck_beside_another(context, controller):
    """While a disk of a controller answers nothing, another one is written, read and flushed."""
    names = ("data", "other")
    disks = {name: disk(context, path=context.memory_path(f"{name}.img")) for name in names}
    monitor = context.path("qmp")
    words = ("-qmp", f"unix:{monitor},server=on,wait=off")
    slow = faulty.throttled(context, 1, words, only="disk0")
    named = [word for name, path in disks.items() for word in ("--disk", f"{name}={path}")]
    options = [*named, "--qemu", controller(context, "qemu", qemu=slow)]
    options += ["--env", "SOIL_DISK_TIMEOUT=600"]
    child = context.soil(PROGRAM, "q35", "beside", "300", options=options)
    child.wait_line("the other: done")
    child.drain(0)
    assert "ended" not in child.text, child.text
    value = {"iops-total": 0}
    Monitor(monitor).ask("qom-set", path="/objects/slow", property="limits", value=value)
    child.wait_line("ended")


@test(limit=180)
def slices_of_memory(context):
    """Durable lists of slices, aligned and not, more than a device takes at once, on sectors of 512
    and 4096 bytes in each form."""
    for form in FORMS:
        for sector in (512, 4096):
            path = disk(context, f"{form}{sector}.img")
            output = run(context, form, ["vectors"], {"data": f"{path},sector={sector}"})
            assert f"sectors of {sector}" in output, output
            kinds = (
                "few: 6",
                "durable: 3",
                "unaligned: 4",
                "many: 300",
                "too many for a request: 1500",
            )
            for kind in kinds:
                assert f"{kind} slices, written true, read true" in output, output
            for line in (
                "durable write: true",
                "a piece of a sector is refused",
                "beyond the end is refused",
            ):
                assert line in output, output
            os.unlink(path)


@test(limit=120)
def slices_without_a_ring(context):
    """The same in a process where the kernel forbids io_uring."""
    need_strace(context)
    path = disk(context)
    for words, expected in (
        (["vectors"], "written true, read true"),
        (["clearing"], "zeros true true, rest true true"),
    ):
        report = context.path(words[0])
        strace = ["strace", "-f", "-c", "-o", report, "-e", "inject=io_uring_setup:error=EPERM"]
        child = context.child(
            [*strace, executable(PROGRAM, "process"), *words], env={"SOIL_DISK_DATA": path}
        )
        status, output = outcome(child, context)
        assert status == 0 and expected in output, output
        assert "written false" not in output and "read false" not in output, output
        assert calls_in(report)["io_uring_setup"] >= 1


@test(limit=180)
def slices_on_devices_with_less(context):
    """The same on virtio-blk devices without indirect descriptors, event indices and flushes, and
    with few descriptors: what Firecracker's lack."""
    less = ("indirect_desc=off", "event_idx=off", "write-cache=off", "config-wce=off")
    cases = (less[:1], less[:2], less, ("queue-size=4", *less[:1]), ("queue-size=16", *less))
    for form in MACHINES:
        path = disk(context, f"{form}.img")
        for case in cases:
            options = [f"--device-option=blk:{option}" for option in case]
            output = run(context, form, ["vectors"], {"data": path}, options)
            assert output.count("written true, read true") == 5, f"{form}, {case}: {output}"
            assert output.count("offers no flush") == int(case[-1] == less[-1]), output


@test(limit=180)
def slices_on_legacy_devices(context):
    """The same on virtio-blk devices with nothing but I/O ports, with MSI-X and the interrupt line,
    and with larger queues than the driver uses; the entropy source is one, too."""
    legacy = ("disable-modern=on", "disable-legacy=off")
    cases = ((), ("vectors=0",), ("queue-size=1024",), ("indirect_desc=off", "event_idx=off"))
    for form in ("q35", "pc"):
        path = disk(context, f"{form}.img")
        for case in cases:
            options = [f"--device-option=rng:{option}" for option in legacy]
            options += [f"--device-option=blk:{option}" for option in (*legacy, *case)]
            output = run(context, form, ["vectors"], {"data": path}, options)
            assert output.count("written true, read true") == 5, f"{form}, {case}: {output}"


def blocks_used(path):
    return os.stat(path).st_blocks * 512


@test(limit=120)
def discard_and_zeroes(context):
    """Zeroed, unmapped and discarded sectors read as they should, the rest stays, and the host's
    file frees the space."""
    for form in FORMS:
        # In the build's folder: some file systems of /tmp lack holes.
        with tempfile.TemporaryDirectory(
            dir=os.path.join(ROOT, "target"), prefix="holes-"
        ) as folder:
            path = disk(context, path=os.path.join(folder, f"{form}.img"))
            output = run(context, form, ["clearing"], {"data": path})
            assert "offered: true true" in output, output
            for line in (
                "zeroes: done",
                "unmap: done",
                "discard: done",
                "zeros true true, rest true true",
            ):
                assert line in output, f"{form}: {output}"
            assert blocks_used(path) < 512 << 10, (
                f"{form}: {blocks_used(path)} bytes are still used"
            )


@test(limit=60)
def discard_that_is_not_offered(context):
    """A device without discard, and a read-only disk, return errors that name the cause."""
    path = disk(context)
    off = ["--device-option", "blk:discard=off", "--device-option", "blk:write-zeroes=off"]
    output = run(context, "microvm", ["clearing"], {"data": path}, off)
    assert "offered: false false" in output and output.count("not supported") >= 3, output


def monitored(context, path, words, form):
    """A machine with the disk, and its monitor."""
    monitor = context.path(f"qmp-{form}")
    before = ("-qmp", f"unix:{monitor},server=on,wait=off")
    qemu = faulty.wrapper(context, f"qemu-{form}", "", before)
    child = context.soil(PROGRAM, form, *words, options=["--disk", f"data={path}", "--qemu", qemu])
    child.wait_line("sectors")
    return child, Monitor(monitor)


def check_sizes(child, resize, context):
    """Grows the disk from 16 to 24 MiB, then cuts it to 8, and checks the program's output."""
    child.wait_line("write the last that was")
    for size, sectors in ((24 << 20, 49152), (8 << 20, 16384)):
        # Waits for the program's whole output of the size before: a write that meets the cut makes
        # a host's file longer again.
        said = len(child.lines)
        resize(size)
        child.wait_line(f"sectors {sectors}", after=said)
        child.wait_line("write the last that was", after=said)
    status, output = outcome(child, context)
    assert status == 0, output
    last = output[output.index("sectors 16384") :]
    assert "read the last: done" in last, output
    for what in ("read", "write"):
        assert re.search(
            rf"{what} the last that was: input/output error: .*has 16384 sectors", last
        ), output


@test(limit=120)
def sizes_that_change(context):
    """A disk that grows and shrinks: `sectors` has the new size, the new part is usable, and the
    removed part gives an error."""
    for form in MACHINES:
        path = disk(context, f"{form}.img")
        child, monitor = monitored(context, path, ["watch", "2"], form)
        check_sizes(
            child,
            lambda size: monitor.ask("block_resize", **{"node-name": "disk0", "size": size}),
            context,
        )
    path = disk(context, "process.img")
    child = context.soil(PROGRAM, "process", "watch", "2", options=["--disk", f"data={path}"])
    check_sizes(child, lambda size: os.truncate(path, size), context)
    assert os.stat(path).st_size == 8 << 20, "a write made the file longer again"


@test(limit=90)
def many_requests_in_flight(context):
    """200 tasks read at once from a disk that does one request per second: it gets 128 of them."""
    for form in MACHINES:
        path = disk(context, f"{form}.img")
        monitor = context.path(f"depth-{form}")
        qemu = faulty.throttled(context, 1, ("-qmp", f"unix:{monitor},server=on,wait=off"))
        options = ["--disk", f"data={path}", "--qemu", qemu, "--env", "SOIL_DISK_TIMEOUT=600"]
        child = context.soil(PROGRAM, form, "depth", "200", options=options)
        child.wait_line("started")
        ask = Monitor(monitor).ask
        until = time.monotonic() + PATIENCE
        most = 0
        while most < 128 and time.monotonic() < until:
            found = [d for d in ask("x-query-virtio") if d["name"] == "virtio-blk"]
            status = ask("x-query-virtio-queue-status", path=found[0]["path"], queue=0)
            most = max(most, status["inuse"])
            time.sleep(0.05)
        assert most >= 128, f"{form}: {most} requests in flight"
        ask("qom-set", path="/objects/slow", property="limits", value={"iops-total": 0})
        child.wait_line("ended")


@test(limit=120)
def partitions_by_name(context):
    """GPT and MBR: partitions by number and label, each used as a disk at the same time; others
    stay untouched."""
    for form in FORMS:
        path = disk(context, f"{form}.img", 32 << 20)
        table = "label: gpt\nsize=4M, name=boot\nsize=6M, name=root\nsize=2M\n"
        context.run("sfdisk", "-q", path, input=table)
        words = ["partitions", "data/2", "data/boot", "data/3", "data/none", "data/7"]
        output = run(context, form, words, {"data": path})
        for name, sectors in (("data/2", 12288), ("data/boot", 8192), ("data/3", 4096)):
            assert f"{name}: {name}, {sectors} sectors" in output, output
            assert re.search(rf"open {name} again: in use", output), output
        assert "open data/none: not found" in output and '"boot"' in output, output
        with open(path, "rb") as file:
            data = file.read()
        for mark, start, sectors in ((1, 10240, 12288), (2, 2048, 8192), (3, 22528, 4096)):
            sector = bytes(((mark + i) * 7 % 251) + 1 for i in range(512))
            for at in (start, start + sectors - 1):
                assert data[at * 512 :][:512] == sector, (
                    f"{form}: partition of {start}, sector {at}"
                )
        os.unlink(path)
    path = disk(context, "mbr.img", 32 << 20)
    context.run(
        "sfdisk", "-q", path, input=f"label: dos\nsize=4M\nsize=20M,type=5\n{path}5 : size=3M\n"
    )
    output = run(context, "microvm", ["partitions", "data/1", "data/5"], {"data": path})
    assert "data/1: data/1, 8192 sectors" in output and "data/5: data/5, 6144 sectors" in output, (
        output
    )


def check_stall(context, output, least):
    found = re.search(r"failures (\d+), ticks true, others true, after (\d+) ms", output)
    assert found, output
    assert int(found[1]) == 20, output
    # Sequentially, the twenty would take 120 s.
    context.bound("ms until the last of twenty had failed", int(found[2]), 30_000)
    assert output.count("the disk doesn't answer") >= least, output
    assert "works again" in output and "panic" not in output, output


def stalled_machine(context, form):
    """A machine whose disk was stopped during its work, and a function that limits the disk's rate,
    to resume it. If QEMU itself wasn't scheduled for the length of the disk's deadline before that,
    which isn't the test's stall, starts another machine."""
    for turn in range(3):
        path, other = (
            disk(context, path=context.memory_path(f"{form}-{turn}-{name}"))
            for name in ("data", "other")
        )
        monitor = context.path(f"stall-{form}-{turn}")
        qemu = faulty.throttled(
            context, 0, ("-qmp", f"unix:{monitor},server=on,wait=off"), only="disk0"
        )
        options = ["--disk", f"data={path}", "--disk", f"other={other}", "--qemu", qemu]
        options += ["--env", "SOIL_DISK_TIMEOUT=6"]
        child = context.soil(PROGRAM, form, "stalls", options=options)
        monitor = Monitor(monitor)

        def limit(most, monitor=monitor):
            value = {"bps-total": most}
            monitor.ask("qom-set", path="/objects/slow", property="limits", value=value)

        try:
            child.wait_line("under way")
        except Timeout:
            # All deadlines had passed before the requests were under way.
            if "failed:" not in child.text:
                raise
            child.stop()
            continue
        # The machine may have ended.
        with contextlib.suppress(OSError, ValueError):
            # The present request takes longer than the deadline, and all later ones queue behind
            # it.
            limit(1500)
        child.drain(0)
        if "failed:" not in child.text:
            return child, limit
        child.stop()
    raise AssertionError(f"the disk was too slow before:\n{child.text}")


@test(limit=240)
def a_machine_disk_stops_answering(context):
    """A disk that stops during its work: every operation ends with an error at its deadline,
    other tasks and disks continue, and abandoned requests complete when the disk answers."""
    for form in MACHINES:
        child, limit = stalled_machine(context, form)
        child.wait_line("failures")
        limit(0)
        status, output = outcome(child, context)
        assert status == 0, output
        check_stall(context, output, 10)


@test(limit=120)
def a_process_disk_stops_answering(context):
    """The same for a file on a file system that is frozen for several seconds."""
    below, above = context.memory_path("below"), context.memory_path("above")
    loop_mounted(context, below + ".img", below, 64)
    try:
        loop_mounted(context, os.path.join(below, "above.img"), above, 48)
        path = disk(context, path=os.path.join(above, "disk.img"))
        other = disk(context, path=context.memory_path("other.img"))
        options = [
            "--disk",
            f"data={path}",
            "--disk",
            f"other={other}",
            "--env",
            "SOIL_DISK_TIMEOUT=6",
        ]
        child = context.soil(PROGRAM, "process", "stalls", options=options)
        child.wait_line("under way")
        context.run("fsfreeze", "-f", below)
        try:
            child.wait_line("failures")
        finally:
            context.run("fsfreeze", "-u", below)
        status, output = outcome(child, context)
        assert status == 0, output
        check_stall(context, output, 1)
    finally:
        for directory in (above, below):
            context.run("umount", "-l", directory, check=False)
