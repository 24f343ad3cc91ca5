"""Disks on NVMe controllers: one on each, several namespaces of one, their names, formats and
errors. QEMU has no interrupt lines for them, no resizing and no removal: the tests of the driver
have a controller that has."""

import os
import re
import tempfile

from cases.block_devices import PROGRAM, blocks_used, disk, run
from cases.disks import WORK
from cases.tasks import fat_disk
from harness import faulty, nvme
from harness.context import ROOT, outcome
from harness.qmp import Monitor
from harness.runner import test

KINDS = ("few: 6", "durable: 3", "unaligned: 4", "many: 300", "too many for a request: 1500")
# Beside the first: with other blocks, and with a number that isn't the next.
NAMESPACES = ("nsid=1", "nsid=2,logical_block_size=4096,physical_block_size=4096", "nsid=70")


def check_vectors(output, sector):
    assert f"sectors of {sector}" in output, output
    for kind in KINDS:
        assert f"{kind} slices, written true, read true" in output, output


@test(limit=240)
def controllers_with_options(context):
    """Sectors of 512 and 4096 bytes, small queues and transfers, and features that a controller may
    lack."""
    cases = (
        ((), 512),
        ((), 4096),
        (("mdts=1",), 512),
        (("mdts=9", "ioeventfd=on"), 4096),
        (("mqes=1",), 512),
        (("mqes=9", "dbcs=off", "max_ioqpairs=1", "msix_qsize=1"), 512),
        (("use-intel-id=on", "msix-exclusive-bar=on", "cmb_size_mb=1"), 512),
    )
    path = disk(context)
    for number, (options, sector) in enumerate(cases):
        qemu = nvme.controllers(context, f"qemu-{number}", *options)
        output = run(
            context, "q35", ["vectors"], {"data": f"{path},sector={sector}"}, ["--qemu", qemu]
        )
        check_vectors(output, sector)


@test(limit=120)
def namespaces_of_one_controller(context):
    """The namespaces of a controller are disks with names of their own: each keeps what is written,
    and the others stay untouched."""
    paths = [disk(context, f"{number}.img") for number in range(3)]
    qemu = ["--qemu", nvme.controllers(context, "qemu", namespaces=NAMESPACES)]
    disks = {f"data{number or ''}": path for number, path in enumerate(paths)}
    check_vectors(run(context, "q35", ["vectors"], disks, qemu), 512)
    for path in paths[1:]:
        with open(path, "rb") as file:
            assert not any(file.read()), f"{path} was written to"
    for name, sectors, used in (("data_2", 4096, 1), ("data_70", 32768, 2)):
        output = run(context, "q35", ["partitions", name], disks, qemu)
        assert f"{name}: {name}, {sectors} sectors" in output, output
        with open(paths[used], "rb") as file:
            assert any(file.read()), f"{name} wasn't written to"


@test(limit=60)
def namespaces_that_are_not_used(context):
    """A namespace whose format has metadata is named with the reason; the others are used."""
    disks = {"data": disk(context, "a.img"), "other": disk(context, "b.img")}
    namespaces = ("nsid=1", "nsid=2,ms=8")
    qemu = ["--qemu", nvme.controllers(context, "qemu", namespaces=namespaces)]
    output = run(context, "q35", ["partitions", "data", "data_2"], disks, qemu)
    assert "NVMe namespace 2 is not used: its format has 8 bytes of metadata" in output, output
    assert "data: data, 32768 sectors" in output, output
    assert "open data_2: no such device" in output, output


@test(limit=120)
def discard_and_zeroes(context):
    """Dataset Management and Write Zeroes: zeroed, unmapped and discarded sectors read as they
    should, the rest stays, and the host's file frees the space."""
    for sector in (512, 4096):
        qemu = ["--qemu", nvme.controllers(context, f"qemu-{sector}")]
        # In the build's folder: some file systems of /tmp lack holes.
        with tempfile.TemporaryDirectory(
            dir=os.path.join(ROOT, "target"), prefix="holes-"
        ) as folder:
            path = disk(context, path=os.path.join(folder, "disk.img"))
            disks = {"data": f"{path},sector={sector}"}
            output = run(context, "q35", ["clearing"], disks, qemu)
            for line in (
                "offered: true true",
                "zeroes: done",
                "unmap: done",
                "discard: done",
                "zeros true true, rest true true",
            ):
                assert line in output, f"sectors of {sector}: {output}"
            used = blocks_used(path)
            assert used < 512 << 10, f"sectors of {sector}: {used} bytes are used"


@test(limit=120)
def requests_that_fail(context):
    """Errors of the medium are values; a disk whose every write fails from some time on keeps what
    it has."""
    path = fat_disk(context, size=32 << 20)
    qemu = faulty.failing(context, "write_aio", 20, once=False)
    options = ["--disk", f"data={path}", "--qemu", nvme.controllers(context, "qemu", qemu=qemu)]
    status, output = outcome(context.soil(WORK, "q35", "faults", "12", options=options), context)
    assert status == 0, output
    found = re.search(r"synced (\d+), as written (\d+), ticks", output)
    assert found and 0 < int(found[1]) < 12 and found[1] == found[2], output
    assert "input/output error" in output and "panic" not in output, output


@test(limit=90)
def a_stuck_namespace_beside_another(context):
    """A namespace that answers nothing has at most its share of the controller's queue: the other
    one is written, read and flushed meanwhile."""
    disks = {name: disk(context, path=context.memory_path(f"{name}.img")) for name in ("data", "b")}
    monitor = context.path("qmp")
    slow = faulty.throttled(
        context, 1, ("-qmp", f"unix:{monitor},server=on,wait=off"), only="disk0"
    )
    qemu = nvme.controllers(context, "qemu", qemu=slow, namespaces=NAMESPACES)
    named = [word for name, path in disks.items() for word in ("--disk", f"{name}={path}")]
    options = [*named, "--qemu", qemu, "--env", "SOIL_DISK_TIMEOUT=600"]
    child = context.soil(PROGRAM, "q35", "beside", "300", "data_2", options=options)
    child.wait_line("the other: done")
    child.drain(0)
    assert "ended" not in child.text, child.text
    value = {"iops-total": 0}
    Monitor(monitor).ask("qom-set", path="/objects/slow", property="limits", value=value)
    child.wait_line("ended")


@test(limit=120)
def file_systems(context):
    """Synced files of a FAT volume on a controller are there after the machine, and the volume is
    clean."""
    path = fat_disk(context, size=32 << 20)
    options = ["--disk", f"data={path}", "--qemu", nvme.controllers(context, "qemu")]
    status, output = outcome(context.soil(WORK, "q35", "health", options=options), context)
    assert status == 0 and output.count("writable") == 2, output
    context.run("fsck.fat", "-n", path)
    child = context.soil(WORK, "q35", "read", "/data/00003.bin", options=options)
    status, output = outcome(child, context)
    assert status == 0 and f"{3 * 977 % 9000} bytes" in output, output
