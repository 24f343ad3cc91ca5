"""Disks on a SCSI adapter (virtio-scsi, PVSCSI): several on one device, their names, sizes, errors
and removal."""

import os
import re
import tempfile
import time

from cases import storage_kills
from cases.block_devices import (
    PROGRAM,
    blocks_used,
    check_sizes,
    disk,
    run,
    stuck_beside_another,
)
from cases.disks import WORK
from cases.loaders import boot, made
from cases.tasks import fat_disk
from harness import faulty, scsi
from harness.console import PATIENCE
from harness.context import ARCH, MACHINES, ROOT, outcome
from harness.qmp import Monitor
from harness.runner import test

KINDS = ("few: 6", "durable: 3", "unaligned: 4", "many: 300", "too many for a request: 1500")


# Machines with VMware's adapter.
PVSCSI = () if ARCH else ("q35", "pc")


def check_vectors(output, sector):
    assert f"sectors of {sector}" in output, output
    for kind in KINDS:
        assert f"{kind} slices, written true, read true" in output, output


@test(limit=240)
def units_of_one_adapter(context):
    """Three disks of one adapter, with sectors of 512 and 4096 bytes and on two targets: each is
    found by its serial number, keeps what is written, and the others stay untouched."""
    for form in MACHINES:
        qemu = ["--qemu", scsi.adapter(context, f"qemu-{form}")]
        paths = [disk(context, f"{form}-{name}.img") for name in ("first", "data", "last")]
        for sector in (512, 4096):
            disks = {"first": paths[0], "data": f"{paths[1]},sector={sector}", "last": paths[2]}
            check_vectors(run(context, form, ["vectors"], disks, qemu), sector)
        disks = {"first": paths[0], "other": paths[1], "data": paths[2]}
        check_vectors(run(context, form, ["vectors"], disks, qemu), 512)
        with open(paths[0], "rb") as file:
            assert not any(file.read()), f"{form}: the first disk was written to"


@test(limit=240)
def adapters_with_options(context):
    """Transports and features that an adapter may lack, and small queues and transfers."""
    options = {
        "microvm": ("indirect_desc=off", "event_idx=off", "virtqueue_size=8,indirect_desc=off"),
        "q35": ("indirect_desc=off", "vectors=0", "disable-legacy=off", "virtqueue_size=4",
                "max_sectors=64", "hotplug=off,param_change=off", "num_queues=4"),
    }  # fmt: skip
    if ARCH:
        # Without those of PCI.
        options = {"virt": (*options["microvm"], *options["q35"][3:])}
    else:
        # Nothing but I/O ports, and queues of the adapter's size: Google's older machine types.
        legacy = "disable-modern=on,disable-legacy=off"
        legacies = (legacy, f"{legacy},vectors=0", f"{legacy},virtqueue_size=1024")
        options = {**options, "q35": (*options["q35"], *legacies), "pc": legacies}
    for form, cases in options.items():
        path = disk(context, f"{form}.img")
        for number, case in enumerate(cases):
            qemu = scsi.adapter(context, f"qemu-{form}-{number}", case)
            check_vectors(run(context, form, ["vectors"], {"data": path}, ["--qemu", qemu]), 512)


@test(limit=120)
def names_without_a_serial_number(context):
    """A disk without a unit serial number has the name of its device identification page."""
    qemu = scsi.adapter(context, "qemu", rename={"serial": "device_id"})
    disks = {name: disk(context, f"{name}.img") for name in ("other", "data")}
    check_vectors(run(context, "q35", ["vectors"], disks, ["--qemu", qemu]), 512)


@test(limit=120)
def discard_and_zeroes(context):
    """UNMAP and WRITE SAME: zeroed, unmapped and discarded sectors read as they should, the rest
    stays, and the host's file frees the space."""
    for form in MACHINES:
        qemu = ["--qemu", scsi.adapter(context, f"qemu-{form}")]
        # In the build's folder: some file systems of /tmp lack holes.
        with tempfile.TemporaryDirectory(
            dir=os.path.join(ROOT, "target"), prefix="holes-"
        ) as folder:
            path = disk(context, path=os.path.join(folder, f"{form}.img"))
            output = run(context, form, ["clearing"], {"data": path}, qemu)
            for line in (
                "offered: true true",
                "zeroes: done",
                "unmap: done",
                "discard: done",
                "zeros true true, rest true true",
            ):
                assert line in output, f"{form}: {output}"
            assert blocks_used(path) < 512 << 10, f"{form}: {blocks_used(path)} bytes are used"


def monitored(context, form, words, disks, first="", kind=""):
    """A machine with these disks on an adapter, and its monitor."""
    monitor = context.path(f"qmp-{form}")
    before = ("-qmp", f"unix:{monitor},server=on,wait=off")
    qemu = scsi.adapter(context, f"qemu-{form}", before=before, kind=kind)
    named = [word for name, path in disks.items() for word in ("--disk", f"{name}={path}")]
    child = context.soil(PROGRAM, form, *words, options=[*named, "--qemu", qemu])
    child.wait_line(first)
    return child, Monitor(monitor)


@test(limit=120)
def sizes_that_change(context):
    """A disk that grows and shrinks reports that: `sectors` has the new size, the new part is
    usable, and the removed part gives an error."""
    for form in MACHINES:
        path = disk(context, f"{form}.img")
        child, monitor = monitored(context, form, ["watch", "2"], {"data": path}, "sectors")
        check_sizes(
            child,
            lambda size, monitor=monitor: monitor.ask(
                "block_resize", **{"node-name": "disk0", "size": size}
            ),
            context,
        )


@test(limit=120)
def a_removed_disk(context):
    """A disk that is unplugged under load: all its requests end with an error, later ones, too, and
    the other disk of the adapter works on."""
    for form in MACHINES:
        disks = {name: disk(context, f"{form}-{name}.img") for name in ("data", "other")}
        child, monitor = monitored(context, form, ["removal"], disks, "under way")
        monitor.ask("device_del", id="unit-data")
        status, output = outcome(child, context)
        assert status == 0, output
        assert re.search(r"SCSI disk 0:\d data was removed", output), output
        assert "all 20 failed: input/output error" in output, output
        for line in ("read again: input/output error", "flush again: input/output error"):
            assert line in output, output
        assert "the other: done" in output and "panic" not in output, output


@test(limit=60)
def a_disk_that_cannot_be_written(context):
    """A read-only disk is known to be so: nothing is sent to it that would fail."""
    path = fat_disk(context)
    qemu = ["--qemu", scsi.adapter(context, "qemu")]
    options = ["--disk", f"data={path},ro", *qemu]
    status, output = outcome(
        context.soil(WORK, "q35", "write", "/data/x", "x", options=options), context
    )
    assert status == 2 and "read-only" in output, output


@test(limit=120)
def requests_that_fail(context):
    """Errors of the medium are values; a disk whose every write fails from some time on keeps what
    it has."""
    path = fat_disk(context, size=32 << 20)
    qemu = faulty.failing(context, "write_aio", 20, once=False)
    options = ["--disk", f"data={path}", "--qemu", scsi.adapter(context, "qemu", qemu=qemu)]
    status, output = outcome(context.soil(WORK, "q35", "faults", "12", options=options), context)
    assert status == 0, output
    found = re.search(r"synced (\d+), as written (\d+), ticks", output)
    assert found and 0 < int(found[1]) < 12 and found[1] == found[2], output
    assert "input/output error" in output and "panic" not in output, output


@test(limit=120)
def flushes_that_fail(context):
    """Flushes reach the host's disk: if all of them fail, no sync reports success."""
    for form in MACHINES:
        path = fat_disk(context, f"{form}.img", 32 << 20)
        qemu = scsi.adapter(context, f"qemu-{form}", qemu=faulty.failing_flush(context))
        options = ["--disk", f"data={path}", "--qemu", qemu]
        status, output = outcome(context.soil(WORK, form, "faults", "6", options=options), context)
        assert status == 0 and "synced 0, as written 0" in output, output
        assert "offers no flush" not in output, output


@test(limit=90)
def many_requests_in_flight(context):
    """200 tasks read at once from a disk that does one request per second: it gets 128 of them, as
    a virtio-blk device does."""
    for form in MACHINES:
        path = disk(context, f"{form}.img")
        monitor = context.path(f"depth-{form}")
        slow = faulty.throttled(context, 1, ("-qmp", f"unix:{monitor},server=on,wait=off"))
        qemu = scsi.adapter(context, f"qemu-{form}", qemu=slow)
        options = ["--disk", f"data={path}", "--qemu", qemu, "--env", "SOIL_DISK_TIMEOUT=600"]
        child = context.soil(PROGRAM, form, "depth", "200", options=options)
        child.wait_line("started")
        ask = Monitor(monitor).ask
        until = time.monotonic() + PATIENCE
        most = 0
        while most < 128 and time.monotonic() < until:
            found = [d for d in ask("x-query-virtio") if d["name"] == "virtio-scsi"]
            status = ask("x-query-virtio-queue-status", path=found[0]["path"], queue=2)
            most = max(most, status["inuse"])
            time.sleep(0.05)
        assert most >= 128, f"{form}: {most} requests in flight"
        ask("qom-set", path="/objects/slow", property="limits", value={"iops-total": 0})
        child.wait_line("ended")


@test(limit=90)
def a_stuck_disk_beside_another(context):
    """A disk that answers nothing has at most its share of the adapter's queue: the other one is
    written, read and flushed meanwhile."""
    stuck_beside_another(context, scsi.adapter)


@test(limit=120)
def file_systems(context):
    """Synced files of a FAT volume on a SCSI disk are there after the machine, and the volume is
    clean."""
    for form in MACHINES:
        path = fat_disk(context, f"{form}.img", 32 << 20)
        options = ["--disk", f"data={path}", "--qemu", scsi.adapter(context, f"qemu-{form}")]
        status, output = outcome(context.soil(WORK, form, "health", options=options), context)
        assert status == 0 and output.count("writable") == 2, output
        context.run("fsck.fat", "-n", path)
        options[1] += ",ro"
        child = context.soil(WORK, form, "read", "/data/00003.bin", options=options)
        status, output = outcome(child, context)
        assert status == 0 and f"{3 * 977 % 9000} bytes" in output, output


@test(limit=240)
def units_of_a_pvscsi_adapter(context):
    """Three disks of one adapter as VMware's, on three targets, with sectors of 512 and 4096 bytes:
    each is found by its serial number, keeps what is written, and the others stay untouched;
    discarded and zeroed sectors read as they should."""
    for form in PVSCSI:
        qemu = ["--qemu", scsi.adapter(context, f"qemu-{form}", kind="pvscsi")]
        paths = [disk(context, f"{form}-{name}.img") for name in ("first", "data", "last")]
        for sector in (512, 4096):
            disks = {"first": paths[0], "data": f"{paths[1]},sector={sector}", "last": paths[2]}
            check_vectors(run(context, form, ["vectors"], disks, qemu), sector)
        for path in (paths[0], paths[2]):
            with open(path, "rb") as file:
                assert not any(file.read()), f"{form}: {path} was written to"
        output = run(context, form, ["clearing"], {"data": paths[2]}, qemu)
        assert "zeros true true, rest true true" in output, output


@test(limit=180)
def files_on_a_pvscsi_adapter(context):
    """Files of FAT and ext4 volumes on an adapter as VMware's: synced files are there after the
    machine, or after a kill of it, and the volumes are clean. Errors are values."""
    for form in PVSCSI:
        qemu = scsi.adapter(context, f"qemu-{form}", kind="pvscsi")
        path = fat_disk(context, f"{form}.img", 32 << 20)
        options = ["--disk", f"data={path}", "--qemu", qemu]
        status, output = outcome(context.soil(WORK, form, "health", options=options), context)
        assert status == 0 and output.count("writable") == 2, output
        context.run("fsck.fat", "-n", path)
        storage_kills.kill(context, "none", 2, form=form, qemu=qemu)
    for form in PVSCSI:
        path = fat_disk(context, f"{form}.img", 32 << 20)
        failing = faulty.failing(context, "write_aio", 20, once=False)
        qemu = scsi.adapter(context, f"failing-{form}", qemu=failing, kind="pvscsi")
        options = ["--disk", f"data={path}", "--qemu", qemu]
        child = context.soil(WORK, form, "faults", "12", options=options)
        status, output = outcome(child, context)
        found = re.search(r"synced (\d+), as written (\d+), ticks", output)
        assert found and 0 < int(found[1]) < 12 and found[1] == found[2], output
        assert "input/output error" in output and "panic" not in output, output


@test(limit=120)
def boots_from_a_pvscsi_adapter(context):
    """SeaBIOS boots a disk of `soil image` from a PVSCSI adapter on q35 and pc: the program finds
    the disk there, and its second boot the seed that the first has left on the disk."""
    used = "the seed of .soil-random-seed is used and replaced"
    words = ["--data-size", "16M", "--env", "SOIL_LOG=info"]
    for machine in PVSCSI:
        disk = made(context, *words, program="tests/programs/storage/seeded.exe")
        for is_second in (False, True):
            devices = ("pvscsi", "scsi-hd")
            child = boot(context, disk, "-cpu", "qemu64", machine=machine, devices=devices)
            assert child.finish() == 1, child.text
            assert (used in child.text) == is_second, f"{machine}: {child.text}"


@test(limit=120)
def a_removed_disk_of_a_pvscsi_adapter(context):
    """A disk that is unplugged under load: all its requests end with an error, later ones, too, and
    the other disk of the adapter works on."""
    for form in PVSCSI:
        disks = {name: disk(context, f"{form}-{name}.img") for name in ("data", "other")}
        child, monitor = monitored(context, form, ["removal"], disks, "under way", "pvscsi")
        monitor.ask("device_del", id="unit-data")
        status, output = outcome(child, context)
        assert status == 0, output
        assert re.search(r"SCSI disk \d+:0 data was removed", output), output
        for line in ("read again: input/output error", "flush again: input/output error"):
            assert line in output, output
        assert "the other: done" in output and "panic" not in output, output
