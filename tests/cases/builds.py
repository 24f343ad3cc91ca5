"""Reproducible builds: the same bytes in another folder."""

import contextlib
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile

from harness.context import ARCH, ROOT, Skip, executable
from harness.runner import test

sys.path.insert(0, os.path.join(ROOT, "bench"))
import qemu  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, "tools", "setup"))
import prebuilt  # noqa: E402

EXAMPLES = ("hello", "echo", "website")
LEFT_OUT = shutil.ignore_patterns(
    ".git", "_build", "target", "prebuilt", "work", "results", "__pycache__"
)

# A stand-in for cargo: copies cargo's output for the same sources from the first folder. The long
# test compares the paths that crates leave in images.
CARGO = """#!/bin/sh
set -eu
for word; do case $word in --target-dir=*) folder=${{word#--target-dir=}} ;; esac; done
case "$*" in
  *--package=soil-tools*) mkdir -p "$folder/tools" && cp {root}/_build/default/tools/soil {root}/_build/default/tools/soil-cc "$folder/tools/" ;;
  *--package=soil-archive*libsoil_image.a*) cp {root}/_build/soil/kernel/libsoil_image.a . ;;
  *--package=soil-archive*) cp {root}/_build/default/soil-sys/libsoil_sys.a . ;;
  build*) ;;
  *) echo "unexpected: cargo $*" >&2; exit 1 ;;
esac
"""


def image(root, example):
    with open(os.path.join(root, "_build", "soil", "examples", example, "main.exe"), "rb") as file:
        return file.read()


# dune's cache would return the first build.
AFRESH = {"DUNE_CACHE": "disabled", "CARGO_NET_OFFLINE": "true"}


@contextlib.contextmanager
def another_folder():
    """A copy of this repository's sources in another folder."""
    with tempfile.TemporaryDirectory(
        dir=os.path.join(ROOT, "target"), prefix="another-folder-"
    ) as folder:
        copy = os.path.join(folder, "with", "sources")
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT, symlinks=True)
        yield copy


def built_elsewhere(context, environment):
    """The examples' images, built by dune from a copy of this repository in another folder."""
    with another_folder() as copy:
        targets = [f"_build/soil/examples/{example}/main.exe" for example in EXAMPLES]
        environment = {**os.environ, **AFRESH, **environment}
        context.run("dune", "build", "--root", copy, *targets, env=environment, cwd=copy)
        return {example: image(copy, example) for example in EXAMPLES}


def prebuilt_files(root):
    """What cargo built for the prebuilt archive in a source folder, by name."""
    return {
        name: pathlib.Path(root, "_build", "default", name).read_bytes() for name in prebuilt.FILES
    }


def check_same(images):
    for example, other in images.items():
        own = image(ROOT, example)
        differing = [at for at, pair in enumerate(zip(own, other)) if pair[0] != pair[1]][:5]
        assert own == other, (
            f"{example}: {len(own)} and {len(other)} bytes, the first that differ at {differing}"
        )


@test()
def links_only_what_it_calls(context):
    """hello, which uses no cryptography, has none of its functions, assembly included."""
    symbols = context.run("nm", executable("examples/hello/main.exe", "microvm")).stdout
    assert "soil_image_start" in symbols
    names = [line.split()[-1] for line in symbols.splitlines()]
    found = [name for name in names if "ring_core_" in name]
    assert not found, found


@test(limit=120)
def the_same_in_another_folder(context):
    """hello, echo and website are the same when OCaml compiles and links them in another folder
    with the same Rust archive."""
    folder = context.path("bin")
    os.mkdir(folder)
    cargo = os.path.join(folder, "cargo")
    with open(cargo, "w", encoding="utf-8") as file:
        file.write(CARGO.format(root=ROOT))
    os.chmod(cargo, os.stat(cargo).st_mode | stat.S_IXUSR)
    check_same(built_elsewhere(context, {"PATH": folder + ":" + os.environ["PATH"]}))


@test(limit=900, long=True)
def the_same_in_another_folder_with_the_crates(context):
    """The same, with the crates compiled there too."""
    check_same(built_elsewhere(context, {}))


@test(limit=1800, long=True)
def the_prebuilt_files_in_another_folder(context):
    """The files of the prebuilt archive are the same when cargo compiles all of them in another
    folder, from crates in another one, for another user by name."""
    home = context.path("cargo")
    os.mkdir(home)
    own = os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo")
    os.symlink(os.path.join(own, "registry"), os.path.join(home, "registry"))
    user = {"CARGO_HOME": home, "USER": "stranger", "LOGNAME": "stranger"}
    targets = [f"_build/default/{name}" for name in prebuilt.FILES]
    with another_folder() as copy:
        environment = {**os.environ, **AFRESH, **user}
        context.run("dune", "build", "--root", copy, *targets, env=environment, cwd=copy)
        others = prebuilt_files(copy)
    differing = [name for name, data in prebuilt_files(ROOT).items() if data != others[name]]
    assert not differing, differing


@test()
def no_prebuilt_file_says_where_it_was_built(_):
    """No file of the prebuilt archive contains the path of the repository or of cargo's folder."""
    home = os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo")
    # Crates are compiled in the folder without links.
    folders = {name for path in (ROOT, home) for name in (path.rstrip("/"), os.path.realpath(path))}
    for name, data in prebuilt_files(ROOT).items():
        for folder in sorted(folders):
            at = data.find(folder.encode() + b"/")
            assert at < 0, f"{name}: {data[max(0, at - 40) : at + 80]}"


@test()
def overflow_is_checked_in_the_suite(_):
    """The suite's own images have the checks; the examples, as shipped, don't."""
    text = b"attempt to add with overflow"
    with open(executable("tests/programs/soil/services.exe", "microvm"), "rb") as file:
        assert text in file.read(), "services.exe is not linked to tests/checked"
    assert text not in image(ROOT, "website"), "the website has overflow checks"


@test()
def no_image_says_where_it_was_built(_):
    """No image contains the path of the repository or of the user's home, where cargo keeps the
    crates' sources."""
    for example in EXAMPLES:
        data = image(ROOT, example)
        for folder in (ROOT, os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo")):
            # Excludes a folder of that name in another path, such as Rust's own
            # `library/alloc/src`.
            found = re.search(rb"(?<![\w.-])" + re.escape(folder.encode()) + rb"(?![\w.-])", data)
            at = found.start() if found else 0
            assert not found, f"{example}: {data[max(0, at - 40) : at + 80]}"


def functions(path):
    """The instructions of each function of an image, by its name."""
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", path], check=True, capture_output=True, text=True
    ).stdout
    found = {}
    for line in listing.splitlines():
        if match := re.fullmatch(r"[0-9a-f]+ <(.*)>:", line):
            found[match[1]] = lines = []
        elif "\t" in line:
            lines.append(line.split("\t", 1)[1])
    return found


@test(limit=60)
def translations_are_flushed_after_the_change(context):
    """Where an x86-64 image takes pages away, no `invlpg` precedes the change of an entry: the
    processor may read an entry at any time before."""
    if ARCH:
        raise Skip("arm64 has another instruction")
    checked = 0
    for name, lines in functions(executable("examples/hello/main.exe", "microvm")).items():
        changes = [
            at for at, line in enumerate(lines) if "call" in line and "tables7replace" in line
        ]
        flushes = [at for at, line in enumerate(lines) if line.startswith("invlpg")]
        if changes and flushes:
            checked += 1
            assert max(changes) < min(flushes), f"{name}: invlpg before the entry's change"
    assert checked, "no function of the image does both"


@test(limit=60)
def the_code_of_ocaml_begins_at_a_page(_):
    """The text of an image begins at a page with OCaml's own code: which functions of a program lie
    across two pages doesn't depend on the size of what Soil adds."""
    path = executable("examples/hello/main.exe", "microvm")
    listing = subprocess.run(
        ["readelf", "-SsW", path], check=True, capture_output=True, text=True
    ).stdout
    text = int(re.search(r" \.text +PROGBITS +([0-9a-f]+)", listing)[1], 16)
    program = int(re.search(r" ([0-9a-f]+) .* caml_program$", listing, re.MULTILINE)[1], 16)
    assert text % 4096 == 0 and text < program < text + 4096, (hex(text), hex(program))


@test(limit=60)
def a_boot_translates_few_blocks(context):
    """QEMU without KVM translates at most 3,200 blocks of code for a whole run of hello, which is
    most of its time, and at most 100 of them a second time: a second set of the flags that a block
    depends on (segments, CR0, CR4) has all code translated again."""
    if ARCH:
        raise Skip("the limits are of x86-64's code")
    log = context.path("blocks")
    with qemu.accelerated("tcg"):
        words = qemu.soil(executable("examples/hello/main.exe", "microvm"), [], "microvm")
    context.run(*words, "-d", "in_asm", "-D", log, check=False)
    with open(log, encoding="ascii", errors="replace") as file:
        starts = [int(at, 16) for at in re.findall(r"^IN:.*\n0x([0-9a-f]+):", file.read(), re.M)]
    ours = [at for at in starts if 1 << 20 <= at < 1 << 24]  # the firmware is elsewhere
    again = len(ours) - len(set(ours))
    assert 1000 < len(ours) <= 3200 and again <= 100, (len(ours), again)
