"""SQLite through OCaml's bindings on ext4, killed at random in the middle of transactions.

Each run's machine starts on the disk that the previous kill left: its ext4 and its SQLite replay
their journals. e2fsck and the host's SQLite must succeed with a copy as well.
"""

import contextlib
import os
import random
import re
import shutil
import signal
import sqlite3
import tempfile
import time

from cases.network import machine_pid
from harness import faulty
from harness.context import ROOT
from harness.runner import test

PROGRAM = "tests/programs/libraries/database_kills.exe"
MIB = 1 << 20
# The rows of each thread's last 40 transactions are kept.
KEPT = 40
NAMES = ("one", "two")


def machine(context, disk, cache, journal):
    """Starts the program with `disk` as /data."""
    options = ["--disk", f"data={disk}", "--mem", "256M"]
    if cache == "unsafe":
        options += ["--qemu", faulty.forgetful(context)]
    words = ("/data/work.db", journal, "1000000")
    return context.soil(PROGRAM, "microvm", *words, options=options)


def numbers(text, word):
    """The last number in lines with this word, by thread."""
    return {
        name: max((int(n) for n in re.findall(rf"^{word} {name} (\d+)\r?$", text, re.M)), default=0)
        for name in NAMES
    }


def expected_rows(last):
    """The expected number of rows, and the sum of all transactions, after these numbers."""
    return (
        sum(3 * min(number, KEPT) for number in last.values()),
        sum(number * (number + 1) // 2 for number in last.values()),
    )


def check(found, committed, rows):
    """Every committed transaction is present, and the next one of each thread entirely or not at
    all."""
    for name in NAMES:
        assert committed[name] <= found[name] <= committed[name] + 1, (
            f"{name}: found {found[name]}, committed {committed[name]}"
        )
    assert rows == expected_rows(found), f"{rows} and not {expected_rows(found)} after {found}"


def check_by_host(context, disk, directory, committed):
    """The findings of e2fsck and the host's SQLite on the disk."""
    copy = os.path.join(directory, "copy.img")
    shutil.copyfile(disk, copy)
    context.run("e2fsck", "-E", "journal_only", "-y", copy, check=False)
    context.run("e2fsck", "-fn", copy)
    folder = os.path.join(directory, "files")
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    context.run("debugfs", "-R", f"rdump / {folder}", copy)
    with contextlib.closing(sqlite3.connect(os.path.join(folder, "work.db"))) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = {
            name: database.execute(
                "SELECT coalesce(max(number), 0) FROM work WHERE name = ?", (name,)
            ).fetchone()[0]
            for name in NAMES
        }
        rows = database.execute("SELECT count(*), (SELECT sum FROM total) FROM work").fetchone()
    check(found, committed, rows)


def kill(context, journal, kills):
    rng = random.Random(f"{journal} {kills}")
    committed = dict.fromkeys(NAMES, 0)
    half = context.remaining() / 2
    # In the build's directory, since /tmp may be in memory, which lacks direct transfers.
    with tempfile.TemporaryDirectory(dir=os.path.join(ROOT, "target"), prefix="kill-") as directory:
        disk = os.path.join(directory, "disk.img")
        with open(disk, "wb") as file:
            file.truncate(48 * MIB)
        context.run("mkfs.ext4", "-q", disk)
        for number in range(kills):
            # Each has some ten flushes of the host, which may take seconds.
            if number >= 5 and context.remaining() < half:
                kills = number
                break
            child = machine(context, disk, ("none", "unsafe")[number % 2], journal)
            child.wait_line("ready")
            child.wait_line("committed")
            time.sleep(rng.uniform(0.0, 0.5))
            # Of QEMU alone: `soil run` passes on what the program wrote before.
            os.kill(machine_pid(child), signal.SIGKILL)
            child.finish()
            assert re.findall(r"^integrity (.*?)\r?$", child.text, re.M) == ["ok"], child.text
            found = numbers(child.text, "found")
            rows = re.search(r"^rows (\d+) (\d+)", child.text, re.M)
            check(found, committed, tuple(int(count) for count in rows.groups()))
            done = numbers(child.text, "committed")
            committed = {name: max(found[name], done[name]) for name in NAMES}
            if number % 5 == 4:
                check_by_host(context, disk, directory, committed)
    print(f"{journal}: {kills} kills, {sum(committed.values())} transactions")


SHOWS = (
    "A machine is killed while two threads commit to SQLite on ext4: integrity_check is ok, and no "
    "committed transaction is lost."
)
for journal, few, many in (("delete", 10, 80), ("wal", 10, 80), ("persist", 0, 40)):
    if few:
        test(name=f"killed-sqlite-{journal}", limit=120, shows=SHOWS)(
            lambda context, journal=journal, kills=few: kill(context, journal, kills)
        )
    test(name=f"killed-sqlite-{journal}-often", limit=1200, long=True, shows=SHOWS)(
        lambda context, journal=journal, kills=many: kill(context, journal, kills)
    )
