"""Disks that fail, are slow or record their writes, by QEMU's filters between a machine's disk and
its file."""

import os
import shutil
import stat

from harness.context import QEMU

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
        word = ",".join(own + [{filter}] + ["file.{child}." + part for part in below])
    words.append(word)
os.execv({qemu!r}, [{qemu!r}, *{before!r}, *words])
"""

UNSAFE = """#!/usr/bin/env python3
import os, sys
words = list(sys.argv[1:])
for at, word in enumerate(words):
    if words[at - 1] == "-blockdev":
        kept = [part for part in word.split(",") if "cache.direct" not in part]
        kept = [part for part in kept if "aio=" not in part]
        words[at] = ",".join([*kept, "cache.no-flush=on"])
os.execv({qemu!r}, [{qemu!r}, *words])
"""


def wrapper(context, name, between, before=(), only="", child="file"):
    """The path of a QEMU wrapper that inserts `between` (words of -blockdev) above the file of each
    disk whose words contain `only`, and passes the words `before` first. `child` is the filter's
    name for what is below it."""
    path = context.path(name)
    qemu = shutil.which(QEMU)
    with open(path, "w", encoding="ascii") as file:
        file.write(
            WRAPPER.format(
                filter=repr(between), qemu=qemu, before=list(before), only=only, child=child
            )
        )
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
    between = f"file.driver=blkdebug,file.config={config}"
    return wrapper(context, f"qemu-{event}-{number}-{once}", between, child="image")


def failing_flush(context):
    """A QEMU whose disks answer every flush with EIO."""
    rule = "file.driver=blkdebug,file.inject-error.0.event=none,file.inject-error.0.iotype=flush,file.inject-error.0.errno=5"
    return wrapper(context, "qemu-flush", rule, child="image")


def throttled(context, requests, before=(), only=""):
    """A QEMU that limits its disks (those whose words contain `only`) to `requests` requests per
    second; 0 is no limit."""
    before = ("-object", f"throttle-group,id=slow,x-iops-total={requests}", *before)
    between = "file.driver=throttle,file.throttle-group=slow"
    name = f"qemu-slow-{len(os.listdir(context.path('.')))}"
    return wrapper(context, name, between, before, only)


def recording(context, log, sector):
    """A QEMU that records the writes and flushes of its disk in `log`, by sectors of `sector`
    bytes."""
    with open(log, "wb"):
        pass
    between = f"file.driver=blklogwrites,file.log.driver=file,file.log.filename={log}"
    return wrapper(context, "qemu-log", f"{between},file.log-sector-size={sector}")


def forgetful(context):
    """A QEMU that ignores flushes and keeps writes in the host's page cache (cache=unsafe)."""
    path = context.path("qemu-unsafe")
    with open(path, "w", encoding="ascii") as file:
        file.write(UNSAFE.format(qemu=shutil.which(QEMU)))
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
    return path
