"""Machines whose disks are SATA disks of an AHCI controller, where `soil run` has virtio-blk."""

import os
import shutil
import stat

from harness.context import QEMU

WRAPPER = """#!/usr/bin/env python3
import os, sys
qemu = {qemu!r}
words, disks = [], 0
for word in sys.argv[1:]:
    kind, *options = word.split(",")
    if words and words[-1] == "-device" and kind.startswith("virtio-blk-"):
        if disks == 0:
            words += ["ich9-ahci,id=sata", "-device"]
        # Of the transport.
        options = [option for option in options if not option.startswith("disable-legacy=")]
        # An optical drive between the disks.
        port = disks + (disks > 0)
        word = ",".join(["ide-hd", f"bus=sata.{{port}}", *options])
        if disks == 0:
            words += ["ide-cd,bus=sata.1", "-device"]
        disks += 1
    words.append(word)
os.execv(qemu, [qemu, *words])
"""


def controller(context, name, qemu=None):
    """The path of a QEMU wrapper with the disks, at most five, on a controller. `qemu` is another
    wrapper."""
    path = context.path(name)
    qemu = qemu or shutil.which(QEMU)
    with open(path, "w", encoding="ascii") as file:
        file.write(WRAPPER.format(qemu=qemu))
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
    return path
