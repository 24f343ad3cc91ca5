"""Machines whose disks are logical units of a SCSI adapter, where `soil run` has virtio-blk."""

import os
import shutil
import stat

from harness.context import QEMU

WRAPPER = """#!/usr/bin/env python3
import os, sys
qemu = {qemu!r}
words, units, adapter = [], 0, {adapter!r}
for word in sys.argv[1:]:
    kind, *options = word.split(",")
    if words and words[-1] == "-device" and kind.startswith("virtio-blk-"):
        options = dict(option.split("=", 1) for option in options)
        # Of the transport.
        legacy = options.pop("disable-legacy", None)
        if units == 0:
            host = {kind!r} or kind.replace("virtio-blk", "virtio-scsi")
            host += f",disable-legacy={{legacy}}" if legacy and not {kind!r} else ""
            host += ",id=scsi"
            words += [host + adapter, "-device"]
        place = ["bus=scsi.0", "id=unit-" + options["serial"], *{places!r}[units].split(",")]
        named = [{rename}.get(name, name) + "=" + value for name, value in options.items()]
        word = ",".join(["scsi-hd", *place, *named])
        units += 1
    words.append(word)
os.execv(qemu, [qemu, *{before!r}, *words])
"""

# The units of the adapter: of one target and of another.
PLACES = ("scsi-id=0,lun=0", "scsi-id=0,lun=3", "scsi-id=200,lun=300")
# VMware's adapters have fewer targets, and QEMU's has one unit of each.
PVSCSI_PLACES = ("scsi-id=0,lun=0", "scsi-id=3,lun=0", "scsi-id=63,lun=0")


def adapter(context, name, options="", before=(), rename=None, qemu=None, kind=""):
    """The path of a QEMU wrapper with the disks on an adapter with these `options`; passes the
    words `before` first. `rename` maps names of the disks' properties; `qemu` is another wrapper.
    `kind` is the device, virtio-scsi without one."""
    path = context.path(name)
    qemu = qemu or shutil.which(QEMU)
    with open(path, "w", encoding="ascii") as file:
        file.write(
            WRAPPER.format(
                qemu=qemu,
                adapter=options and f",{options}",
                before=list(before),
                rename=rename or {},
                places=PVSCSI_PLACES if kind else PLACES,
                kind=kind,
            )
        )
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
    return path
