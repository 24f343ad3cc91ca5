"""Machines whose disks are NVMe controllers or namespaces, where `soil run` has virtio-blk."""

import os
import shutil
import stat

from harness.context import QEMU

WRAPPER = """#!/usr/bin/env python3
import os, sys
qemu = {qemu!r}
words, disks = [], []
# `soil run` begins with the last disk where virtio is not on PCI.
for word in sys.argv[1:]:
    if word.startswith("virtio-blk-"):
        disks.append(word)
if disks and disks[0].startswith("virtio-blk-device"):
    disks.reverse()
for word in sys.argv[1:]:
    kind, *options = word.split(",")
    if words and words[-1] == "-device" and kind.startswith("virtio-blk-"):
        number = disks.index(word)
        # Options of the transport; and NVMe has no policy for errors: it reports them.
        others = ("disable-legacy=", "werror=", "rerror=")
        options = [option for option in options if not option.startswith(others)]
        if not {together}:
            word = ",".join(["nvme", *options, *{options}])
        else:
            if "nvme,id=nvme0" not in ",".join(words):
                serial = [option for option in disks[0].split(",") if option.startswith("serial=")]
                words += [",".join(["nvme,id=nvme0", *serial, *{options}]), "-device"]
            options = [option for option in options if not option.startswith("serial=")]
            place = {namespaces}[number]
            word = ",".join(["nvme-ns,bus=nvme0", *options, *place.split(",")])
    words.append(word)
os.execv(qemu, [qemu, *{before!r}, *words])
"""


def controllers(context, name, *options, before=(), qemu=None, namespaces=()):
    """The path of a QEMU wrapper with each disk on a controller of its own with these `options`, or
    all as namespaces of one, whose serial number is the first disk's name; `namespaces` are their
    options. Passes the words `before` first. `qemu` is another wrapper."""
    path = context.path(name)
    qemu = qemu or shutil.which(QEMU)
    with open(path, "w", encoding="ascii") as file:
        file.write(
            WRAPPER.format(
                qemu=qemu,
                options=list(options),
                before=list(before),
                together=bool(namespaces),
                namespaces=list(namespaces),
            )
        )
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
    return path
