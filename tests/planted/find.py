#!/usr/bin/env python3
"""Counts the seeds that `soil simulate` needs to find each mistake in examples/replicated/bugs.

Each patch is applied to a copy of the example, which is built with the libraries of this build
(run `make build` first) and simulated with seed after seed until one fails.

    tests/planted/find.py [--seeds N] [--jobs N] [--table FILE] [PATCH…]
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/replicated"
INSTALLED = ROOT / "_build/install/default"
# Mistakes that the seeds must find, of all patches.
LEAST_SHARE = 28 / 30


def build(folder, patch):
    """A copy of the example with a mistake; the path of its test."""
    copy = folder / "replicated"
    ignore = shutil.ignore_patterns("bugs", "test", "_build")
    shutil.copytree(EXAMPLE, copy, ignore=ignore)
    (folder / "dune-project").write_text("(lang dune 3.17)\n")
    if patch is not None:
        with open(patch, encoding="utf-8") as text:
            subprocess.run(["patch", "-p1", "--batch", "--quiet"], cwd=copy, stdin=text, check=True)
    # Without its rule, which simulates at once; and the build's warnings are no errors.
    test = copy / "simulation/dune"
    test.write_text(test.read_text(encoding="utf-8").split("(rule")[0])
    path = f"{INSTALLED / 'lib'}:{os.environ.get('OCAMLPATH', '')}"
    subprocess.run(
        ["dune", "build", "--root", ".", "--profile", "release", "replicated/main.exe"]
        + ["replicated/simulation/simulate.exe"],
        cwd=folder,
        env=os.environ | {"OCAMLPATH": path},
        check=True,
    )
    return folder / "_build/default/replicated/simulation/simulate.exe"


def first_failure(test, seeds, jobs):
    """The first seed that fails with its check, or none."""
    first, step = 1, 10
    while first <= seeds:
        last = min(seeds, first + step - 1)
        command = [INSTALLED / "bin/soil", "simulate", test, "--json", "--no-shrink"]
        command += ["--seeds", f"{first}-{last}", "--jobs", str(jobs)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        failures = json.loads(run.stdout)["failures"]
        # A checker that gives up has found nothing.
        failures = [f for f in failures if not f["message"].startswith("undecided")]
        if failures:
            found = min(failures, key=lambda failure: failure["first_seed"])
            message = found["message"].splitlines()[0] if found["message"] else ""
            return found["first_seed"], f"{found['check']}: {message}"
        first, step = last + 1, min(2 * step, 200)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--table", type=pathlib.Path)
    parser.add_argument("patches", nargs="*")
    options = parser.parse_args()
    patches = sorted((EXAMPLE / "bugs").glob("*.patch"))
    if options.patches:
        patches = [patch for patch in patches if patch.name.split("-")[0] in options.patches]
    lines = ["| mistake | seeds | failed check |", "|---|---|---|"]
    found = 0
    for patch in patches:
        with tempfile.TemporaryDirectory() as folder:
            failure = first_failure(build(pathlib.Path(folder), patch), options.seeds, options.jobs)
        found += failure is not None
        seed, check = failure or (f"more than {options.seeds}", "")
        lines.append(f"| {patch.stem} | {seed} | {check} |")
        print(lines[-1], flush=True)
    if options.table:
        options.table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{found} of {len(patches)} found")
    return 0 if found >= LEAST_SHARE * len(patches) else 1


if __name__ == "__main__":
    sys.exit(main())
