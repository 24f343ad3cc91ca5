"""Volumes that tasks of several domains use, in every form."""

from cases.network import in_every_form
from cases.tasks import fat_disk
from harness.context import outcome

PROGRAM = "tests/programs/storage/domain_files.exe"


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
