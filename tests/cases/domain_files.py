"""Volumes that tasks of several domains use, in every form."""

from cases.network import in_every_form
from cases.tasks import fat_disk
from harness.context import outcome
from harness.slow_folder import FSYNC, SlowFolder

PROGRAM = "tests/programs/storage/domain_files.exe"
SYNCS = "tests/programs/storage/domain_syncs.exe"
ROUNDS = 10


@in_every_form(limit=300)
def domains(context, form):
    """Four domains write, sync, read and rename files of the same volumes, and none waits for
    another one that computes; the disks are clean afterwards."""
    fat, ext4 = fat_disk(context, f"{form}.fat"), context.path(f"{form}.ext4")
    with open(ext4, "wb") as file:
        file.truncate(64 << 20)
    context.run("mkfs.ext4", "-q", ext4)
    folders = ["/fat", "/ext4", "/memory"]
    volumes = ["fat:fat", "ext4:ext4", "memory:32M"]
    options = ["--disk", f"fat={fat}", "--disk", f"ext4={ext4}"]
    for folder, volume in zip(folders, volumes, strict=True):
        options += ["--mount", f"{folder}={volume}"]
    if form != "process":
        options += ["--cpus", "2", "--mem", "256M"]
    status, output = outcome(context.soil(PROGRAM, form, *folders, options=options), context)
    lines = [line for line in output.splitlines() if line.startswith("/")]
    expected = [f"{folder}: 48 files, true" for folder in folders]
    expected += [f"{folder}: beside domains that compute" for folder in folders]
    assert (status, lines) == (0, expected), output
    context.run("fsck.fat", "-n", fat)
    context.run("e2fsck", "-fn", ext4)


@in_every_form(limit=300, forms=("process", "microvm"))
def shared_flushes(context, form):
    """Eight tasks append to files of an ext4 volume and sync each append, on a disk whose flushes
    take 50 ms. Alone, each sync would take two. They share them in four domains as in one."""
    syncs = 8 * ROUNDS
    flushes = {domains: count_flushes(context, form, domains) for domains in (1, 4)}
    assert all(2 * ROUNDS <= count <= 3 * syncs // 4 for count in flushes.values()), flushes


def count_flushes(context, form, domains):
    path = context.memory_path(f"{form}-{domains}.ext4")
    with open(path, "wb") as file:
        file.truncate(16 << 20)
    context.run("mkfs.ext4", "-q", path)
    with open(path, "rb") as file:
        contents = file.read()
    directory, flushes = context.path(f"{form}-{domains}"), 0
    with SlowFolder(directory, contents, lambda code: code == FSYNC) as disk:
        disk.serve()
        options = ["--disk", f"ext4={directory}/file", "--mount", "/ext4=ext4:ext4"]
        if form != "process":
            options += ["--cpus", "2", "--mem", "256M"]
        words = [domains, 8 // domains, ROUNDS, "/ext4"]
        child = context.soil(SYNCS, form, *words, options=options)
        while disk.requests or child.process.poll() is None:
            child.drain(0.05)
            for request in list(disk.requests):
                disk.answer(request)
                flushes += 1
        status, output = outcome(child, context)
        contents = bytes(disk.contents)
    assert status == 0 and "8 files, true" in output, output
    with open(path, "wb") as file:
        file.write(contents)
    context.run("e2fsck", "-fn", path)
    return flushes
