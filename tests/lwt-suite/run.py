#!/usr/bin/env python3
"""Runs Lwt's own tests as an image, and those that wait also with Soil's engine in the place of
Lwt's, in both forms.

Each group is one program. It counts if it passes as a Linux process; then no test may fail as an
image but those of skips.txt, which says why. The sources are those of Debian's source
package of the Lwt in use, or of another version where the archives lack it; LWT_SOURCE names a
folder that has them already.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from harness import sources  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "target" / "lwt-suite"
SECONDS = 600
# Folders below test/ of Lwt's sources, and findlib's names of what they are about.
GROUPS = {"core": "lwt.unix", "unix": "lwt.unix,threads.posix", "react": "lwt.unix,lwt_react"}
# The engine of `soil.lwt.unix`, as `make build` leaves it, and the group that it has to pass.
ENGINE = "soil.lwt.unix"
WAITS = "unix"
PACKAGES = ROOT / "_build" / "install" / "default" / "lib"
# Programs of a folder that aren't the one that runs its tests.
OTHERS = ("dummy.ml", "luv_main.ml")
SOIL = ROOT / "_build" / "default" / "tools" / "soil"
LINK = [
    *("-cc", str(ROOT / "_build" / "default" / "tools" / "soil-cc")),
    *("-ccopt", str(ROOT / "_build" / "soil" / "kernel" / "libsoil_image.a")),
]


def source():
    """The folder of Lwt's tests."""
    if named := os.environ.get("LWT_SOURCE"):
        return pathlib.Path(named) / "test"
    cache = ROOT / "target" / "lwt-source"
    version = sources.installed("liblwt-ocaml-dev")
    if not version:
        sys.exit("Lwt isn't Debian's: name the folder of its sources in LWT_SOURCE")
    archive = sources.archive("lwt", version, cache, "LWT_SOURCE", others=True)
    print(f"tests of {archive.name.split('.orig')[0]} with Lwt {version}")
    folder = cache / "lwt"
    folder.mkdir(exist_ok=True)
    subprocess.run(["tar", "-xf", archive, "-C", folder, "--strip-components=1"], check=True)
    return folder / "test"


def compiler(folder, *words):
    """Runs ocamlfind's compiler; what it complains about, or None."""
    command = ["ocamlfind", "ocamlopt", "-w", "-a", "-g", *words]
    path = [str(PACKAGES), *filter(None, [os.environ.get("OCAMLPATH")])]
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OCAMLPATH": os.pathsep.join(path)},
    )
    return None if done.returncode == 0 else done.stdout + done.stderr


def prepare(tests, group):
    """A folder with the group's sources, and what its tests find in the current directory."""
    folder = WORK / group
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "room").mkdir(parents=True)
    for path in [*tests.glob("test*.ml*"), *(tests / group).glob("*")]:
        if path.name not in OTHERS and path.suffix in (".ml", ".mli"):
            shutil.copy(path, folder)
    if (tests / group / "dummy.ml").exists():
        shutil.copy(tests / group / "dummy.ml", folder / "room")
        compiler(folder / "room", "-package", "unix", "-linkpkg", "dummy.ml", "-o", "dummy.exe")
        shutil.copy(tests / group / "bytes_io_data", folder / "room")
    # What dune wraps is found without a prefix here.
    (folder / "tester.ml").touch()
    return folder


def build(folder, packages, form):
    """Compiles one form; what went wrong, or None."""
    files = sorted(path.name for path in folder.glob("*.ml*") if path.suffix in (".ml", ".mli"))
    done = subprocess.run(
        ["ocamlfind", "ocamldep", "-sort", *files], cwd=folder, capture_output=True, text=True
    )
    link = LINK if form == "image" else []
    words = ["-package", packages, "-linkpkg", *link, *done.stdout.split(), "-o", f"{form}.exe"]
    return compiler(folder, *words)


def disk(folder):
    """Options for a disk that is the machine's `/`, with what the tests look for."""
    room, path = folder / "room", folder / "disk.ext4"
    for name in ("etc", "tmp"):
        (room / name).mkdir()
    (room / "etc" / "passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    (room / "etc" / "group").write_text("root:x:0:\n")
    (room / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    words = ["mkfs.ext4", "-q", "-d", str(room), str(path), "64M"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return ["--disk", f"files={path}", "--mount", "/=ext4:files", "--net", "user"]


def run(command, room):
    """The status and the output."""
    try:
        done = subprocess.run(
            command,
            cwd=room,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired as problem:
        return None, (problem.stdout or b"").decode(errors="replace")
    return done.returncode, done.stdout.decode(errors="replace")


def skips():
    """The tests of skips.txt."""
    lines = (HERE / "skips.txt").read_text().splitlines()
    return {line.partition(" | ")[0] for line in lines if not line.startswith("#")}


def check(tests, group, packages):
    """(how many tests passed, what is wrong, if anything); None for a group that doesn't pass as a
    process."""
    folder = prepare(tests, group)
    options = disk(folder)
    complaint = build(folder, packages, "process")
    if not complaint:
        status, output = run([str(folder / "process.exe")], folder / "room")
        complaint = None if status == 0 else output
    if complaint:
        complaint = f"doesn't pass as a process:\n{complaint[:1500]}"
        if ENGINE in packages:
            return 0, complaint
        print(f"{group} {complaint}")
        return None
    if complaint := build(folder, packages, "image"):
        return 0, f"doesn't link: {complaint}"
    status, output = run([str(SOIL), "run", str(folder / "image.exe"), *options], folder / "room")
    failed = re.findall(r"Test '(.*)' in suite '(\w+)' (.*)", output)
    wrong = [
        f"{suite}: {name} {how}" for name, suite, how in failed if f"{suite}: {name}" not in skips()
    ]
    if wrong or status != (1 if failed else 0):
        return 0, "\n".join(wrong) or f"status {status}\n{output[-2000:]}"
    # Each test that ends has its mark; words of others may follow.
    marks = "".join(re.findall(r"^[.SFE]+", output, re.MULTILINE))
    engine = f" with {ENGINE}" if ENGINE in packages else ""
    print(
        f"{group}{engine}: {marks.count('.')} tests pass, {marks.count('S')} skip themselves",
        end="",
    )
    print(f", {len(failed)} of skips.txt fail")
    return marks.count("."), None


def main():
    for tool in (SOIL, *map(pathlib.Path, LINK[1::2])):
        if not tool.exists():
            sys.exit(f"{tool} is missing: run `make build`")
    tests = source()
    passed = failed = 0
    groups = [*GROUPS.items(), (WAITS, f"{GROUPS[WAITS]},{ENGINE}")]
    for group, packages in groups:
        if (result := check(tests, group, packages)) is None:
            continue
        count, wrong = result
        passed += count
        if wrong:
            failed += 1
            print(f"FAIL {group}: {wrong}")
    # The last line is what tools/setup/test.sh counts.
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
