#!/usr/bin/env python3
"""Checks that what `make run` builds needs no OCaml library beyond the set `run` of packages.sh.

dune sees only these libraries and those that they require, so that the answer is the same on a
machine that has the tests' packages. It makes rules, and builds nothing. Each example gets the
packages that its page names (Debian's libNAME-ocaml-dev) as well, templates only the set `run`.
"""

import collections
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The targets of `make build` (build.sh).
BUILT = ("@install", "@examples/default")
# The compiler's own, which have a META of findlib each.
COMPILER = ("compiler-libs", "dynlink", "runtime_events", "str", "threads", "unix")
NAMED = re.compile(r"\blib([a-z0-9-]+)-ocaml-dev\b")


def output(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def run_set():
    """The libraries of the set `run`, by their findlib names."""
    text = (ROOT / "tools/setup/packages.sh").read_text("utf-8")
    return re.search(r'^findlib_run="(.*)"$', text, re.MULTILINE)[1].split()


def is_installed(package):
    words = ["ocamlfind", "query", package]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def metadata(packages):
    """(package, META file) of the packages, and of those that their libraries require."""
    known = [line.split()[0] for line in output("ocamlfind", "list").splitlines()]
    # As dune uses them: a rewriter of syntax is linked into a driver.
    options = ("-predicates", "native,ppx_driver", "-format", "@%p|%m|%(requires)")
    files, required = {}, collections.defaultdict(set)
    for entry in output("ocamlfind", "query", *options, *known).split("@")[1:]:
        name, meta, requires = entry.split("|")
        package = name.split(".")[0]
        files[package] = meta
        required[package] |= {each.split(".")[0] for each in re.split(r"[\s,]+", requires) if each}
    found, waiting = set(), list(packages)
    while waiting:
        package = waiting.pop()
        if package in files and package not in found:
            found.add(package)
            waiting += required[package]
    return {(package, files[package]) for package in found}


def environment(folder, packages):
    """Variables with which dune finds the compiler's own files and these packages only: by links,
    since dune looks into the compiler's folder, whatever findlib's path is."""
    standard = pathlib.Path(output("ocamlc", "-where").strip())
    for entry in standard.iterdir():
        # A folder with META is a package's.
        if entry.name != "METAS" and not (entry / "META").exists():
            (folder / entry.name).symlink_to(entry)
    (folder / "METAS").mkdir()
    for package, meta in metadata([*COMPILER, *packages]):
        if os.path.basename(meta) == "META":
            (folder / package).symlink_to(os.path.dirname(meta))
        else:
            (folder / "METAS" / os.path.basename(meta)).symlink_to(meta)
    path = f'destdir="{folder}"\npath="{folder}:{folder}/METAS"\n'
    (folder / "findlib.conf").write_text(path, "utf-8")
    variables = {"OCAMLLIB": str(folder), "OCAMLFIND_CONF": str(folder / "findlib.conf")}
    return {**os.environ, **variables, "OCAMLPATH": ""}


def refusal(variables, build, *targets):
    """dune's error for targets whose libraries aren't all there, or None."""
    recursive = ["--recursive"] if targets[0].startswith("@") else []
    done = subprocess.run(
        ["dune", "rules", "--build-dir", build, *recursive, *targets],
        cwd=ROOT,
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return None if done.returncode == 0 else done.stderr.strip()


def examples():
    """For each example: its folder, its programs, and the packages that its page names."""
    for page in sorted(ROOT.glob("examples/*/README.md")):
        folder = page.parent
        programs = re.findall(r"\(executables?\s+\(names? ([^)]*)\)", (folder / "dune").read_text())
        names = [name for found in programs for name in found.split()]
        packages = sorted(set(NAMED.findall(page.read_text("utf-8"))))
        folder = folder.relative_to(ROOT)
        yield folder, [f"{folder}/{name}.exe" for name in names], packages


def templates():
    """The programs of `soil new`'s projects, and their tests."""
    for found in sorted(ROOT.glob("tools/templates/*/dune")):
        folder = found.parent.relative_to(ROOT)
        yield folder, [f"{folder}/main.exe", f"{folder}/test/test.exe"]


def faults(work):
    """(what, what is wrong, the remedy) of everything that doesn't resolve."""
    build = f"{work}/build"

    def beside(*packages):
        folder = pathlib.Path(tempfile.mkdtemp(dir=work))
        return environment(folder, [*run_set(), *packages])

    alone = beside()
    if error := refusal(alone, build, *BUILT):
        remedy = "give the folder an alias `default` without that, as in examples/replicated/dune"
        yield "make run", error, remedy
    for folder, programs in templates():
        if error := refusal(alone, build, *programs):
            yield folder, error, "use libraries of the set `run` only (tools/setup/packages.sh)"
    for folder, programs, packages in examples():
        if absent := [package for package in packages if not is_installed(package)]:
            print(f"left out: {folder}: not installed here: {', '.join(absent)}")
            continue
        if error := refusal(beside(*packages) if packages else alone, build, *programs):
            page = f"{folder}/README.md"
            yield folder, error, f"name its packages in {page} (Debian: libNAME-ocaml-dev)"


def main():
    if not shutil.which("ocamlfind"):
        print("left out: ocamlfind is missing; install it: tools/setup/setup.sh ensure run")
        return 0
    failed = 0
    with tempfile.TemporaryDirectory() as work:
        for what, error, remedy in faults(work):
            failed += 1
            print(f"FAILED {what}\n{error}\n  remedy: {remedy}")
    print(f"{int(not failed)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
