#!/usr/bin/env python3
"""Tests of tools/setup/mutants.py: in a small repository with known survivors."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
HAS_RUST = shutil.which("cargo-mutants") is not None
HEAD = "file\ttext of the line\tfault\twhy it has no effect\n"
KNOWN = "soil-ocaml/tiny/tiny.ml\tlet clamp n = if n < 0 then 0 else n\t< -> <=\t0 either way\n"

FILES = {
    ".gitignore": "/_build\n/target\n",
    "dune-project": "(lang dune 3.17)\n",
    "dune": "(dirs :standard \\ target)\n",
    "Cargo.toml": '[workspace]\nmembers = ["tiny"]\nresolver = "3"\n',
    "tiny/Cargo.toml": '[package]\nname = "tiny"\nversion = "0.1.0"\nedition = "2024"\n',
    "tiny/src/lib.rs": "",
    "tests/mutants.tsv": HEAD,
    "soil-ocaml/tiny/dune": "(library (name tiny))\n",
    "soil-ocaml/tiny/tiny.ml": "let before n = n + 1\n",
    "soil-ocaml/tiny/old.ml": "let triple n = n * 3\n",
    "soil-ocaml/tiny/test/dune": "(test (name test) (libraries tiny))\n",
    "soil-ocaml/tiny/test/test.ml": """
let () =
  let r = ref 1 in
  assert (Tiny.is_small 9 && not (Tiny.is_small 10));
  assert (Tiny.grade 7 = "high" && Tiny.grade 1 = "low");
  assert (Tiny.clamp (-1) = 0 && Tiny.clamp 1 = 1);
  Tiny.add r 2;
  assert (!r = 3)
""",
}
CHANGED = {
    "soil-ocaml/tiny/tiny.ml": """let before n = n + 1
let is_small n = n < 10
let grade n = if n > 5 then "high" else "low"
let clamp n = if n < 0 then 0 else n
let add r n =
  print_newline ();
  r := !r + n
""",
    "tiny/src/part.rs": """pub fn is_small(n: u32) -> bool {
    n < 10
}
""",
    "tiny/src/lib.rs": """pub mod part;

pub fn twice(n: u32) -> u32 {
    n * 2
}

#[cfg(test)]
mod tests {
    #[test]
    fn works() {
        assert!(super::part::is_small(9) && !super::part::is_small(10));
        assert_eq!(super::twice(2), 4);
    }
}
""",
}
OCAML = {
    "soil-ocaml/tiny/tiny.ml:3: > -> >=",
    "soil-ocaml/tiny/tiny.ml:3: 5 -> (6)",
    "soil-ocaml/tiny/tiny.ml:4: 0 -> (1)",
    "soil-ocaml/tiny/tiny.ml:6: print_newline () -> ()",
}
RUST = {"tiny/src/lib.rs:4: * -> +"}


passed = []


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")


def git(folder, *words):
    names = ["-c", "user.name=tiny", "-c", "user.email=tiny@localhost"]
    subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True)


def repository(folder):
    """A repository whose last commit changes two files, and moves one."""
    write(folder, FILES)
    for name in ("tools/setup/mutants.py", "tools/setup/check.py", "tools/mutants"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, folder / name)
    subprocess.run(["cargo", "generate-lockfile", "--offline"], cwd=folder, check=True)
    git(folder, "init", "-q")
    for files in ({}, CHANGED):
        write(folder, files)
        if files:
            git(folder, "mv", "soil-ocaml/tiny/old.ml", "soil-ocaml/tiny/moved.ml")
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", "tiny")


def mutants(folder, **variables):
    """The status of a run, and its output."""
    environment = {**os.environ, "BASE": "HEAD~1", "SEED": "7", **variables}
    done = subprocess.run(
        ["tools/setup/mutants.py"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def check(name, found, expected):
    if found != expected:
        sys.exit(f"FAILED {name}\nfound: {found}\nexpected: {expected}")
    print(f"ok       {name}")
    passed.append(name)


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        repository(folder)
        status, text = mutants(folder, COUNT="1000")
        survivors = set(re.findall(r"^SURVIVED  (.*)", text, re.MULTILINE))
        clamp = "soil-ocaml/tiny/tiny.ml:4: < -> <="
        check("survivors", survivors, OCAML | {clamp} | (RUST if HAS_RUST else set()))
        check("without cargo-mutants", "left out: Rust: cargo-mutants" in text, not HAS_RUST)
        noticed = len(re.findall(r"^noticed ", text, re.MULTILINE))
        total = noticed + len(survivors)
        share = 100 * noticed // total
        last = f"mutants: {noticed} of {total} noticed ({share} %), 0 without effect"
        check("the last line", (text.splitlines()[-1], status), (last, int(share < 80)))
        check("the tree is as it was", mutants_of(folder), CHANGED)

        write(folder, {"tests/mutants.tsv": HEAD + KNOWN})
        _, text = mutants(folder, COUNT="1000")
        last = text.splitlines()[-1]
        check("a fault without effect", last.split(" of ")[1].split()[0], str(total - 1))
        check("it is counted", last.endswith(" 1 without effect"), True)

        runs = [mutants(folder, COUNT="4", SEED=seed)[1] for seed in ("1", "1", "2")]
        check("a seed repeats a run", (runs[0] == runs[1], runs[0] == runs[2]), (True, False))

        write(folder, {"tests/mutants.tsv": HEAD + KNOWN.replace("clamp n", "clamp m")})
        _, text = mutants(folder)
        line = "let clamp m = if n < 0 then 0 else n"
        error = f"error: tests/mutants.tsv:2: soil-ocaml/tiny/tiny.ml has no such line: {line}\n"
        check("a row whose line is gone", text, error)

        write(folder, {"tests/mutants.tsv": HEAD, "soil-ocaml/tiny/test/test.ml": "assert false"})
        status, text = mutants(folder, COUNT="1000")
        error = "error: without a fault this fails: dune build --root . @_build/default/"
        check("tests that fail by themselves", (status, error in text), (1, True))
    print(f"{len(passed)} passed, 0 failed")


def mutants_of(folder):
    return {name: (folder / name).read_text("utf-8") for name in CHANGED}


if __name__ == "__main__":
    main()
