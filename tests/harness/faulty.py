"""Disks that fail or are slow, by QEMU's filters between a machine's disk and its file."""

import os
import shutil
import stat

WRAPPER = """#!/usr/bin/env python3
import os, sys
# `soil run` looks whether KVM works: that has no disks, and a time limit.
if sys.argv[-1].endswith("/probe"):
    os.execv({qemu!r}, [{qemu!r}, *sys.argv[1:]])
words = []
for word in sys.argv[1:]:
    if {filter} and words and words[-1] == "-blockdev" and {only!r} in word:
        own = [part for part in word.split(",") if not part.startswith("file.")]
        below = [part.removeprefix("file.") for part in word.split(",") if part.startswith("file.")]
        word = ",".join(own + [{filter}] + ["file.image." + part for part in below])
    words.append(word)
os.execv({qemu!r}, [{qemu!r}, *{before!r}, *words])
"""


def wrapper(context, name, between, before=(), only=""):
    """The path of a QEMU wrapper that inserts `between` (words of -blockdev) above the file of each
    disk whose words contain `only`, and passes the words `before` first."""
    path = context.path(name)
    qemu = shutil.which("qemu-system-x86_64")
    with open(path, "w", encoding="ascii") as file:
        file.write(WRAPPER.format(filter=repr(between), qemu=qemu, before=list(before), only=only))
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
    return path


def failing(context, event, number, once=True):
    """A QEMU whose disks answer the `number`th `event` (read_aio, write_aio) with EIO, or all from
    that one on."""
    rules = "".join(
        f'[set-state]\nevent = "{event}"\nstate = "{n}"\nnew_state = "{n + 1}"\n'
        for n in range(1, number)
    )
    rules += f'[inject-error]\nevent = "{event}"\nstate = "{number}"\nerrno = "5"\nonce = "{"on" if once else "off"}"\n'
    config = context.path(f"{event}-{number}.conf")
    with open(config, "w", encoding="ascii") as file:
        file.write(rules)
    return wrapper(
        context, f"qemu-{event}-{number}-{once}", f"file.driver=blkdebug,file.config={config}"
    )


def failing_flush(context):
    """A QEMU whose disks answer every flush with EIO."""
    rule = "file.driver=blkdebug,file.inject-error.0.event=none,file.inject-error.0.iotype=flush,file.inject-error.0.errno=5"
    return wrapper(context, "qemu-flush", rule)


def throttled(context, requests, before=(), only=""):
    """A QEMU that limits its disks (those whose words contain `only`) to `requests` requests per
    second; 0 is no limit."""
    before = ("-object", f"throttle-group,id=slow,x-iops-total={requests}", *before)
    between = "file.driver=throttle,file.throttle-group=slow"
    made = wrapper(
        context, f"qemu-slow-{len(os.listdir(context.path('.')))}", between, before, only
    )
    with open(made, encoding="ascii") as file:
        text = file.read().replace("file.image.", "file.file.")
    with open(made, "w", encoding="ascii") as file:
        file.write(text)
    return made
