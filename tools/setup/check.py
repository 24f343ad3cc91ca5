#!/usr/bin/env python3
"""`make check`: formatters, linters and unit tests of the crates and OCaml libraries that changed.

The base for the comparison is the commit named by BASE, or the first that exists of origin/main,
the branch's upstream, and the previous commit. Uncommitted files count as well. --list only prints
the steps.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Without BASE.
BASES = ("origin/main", "@{upstream}", "HEAD~1", "HEAD")
# The compiler's lints come with the tests, as in `make test`, and share its programs.
LINTED = "RUSTC_WORKSPACE_WRAPPER=clippy-driver"
# The parts of a crate's folder that cargo compiles or the tests read.
CARGO = ("src/", "tests/", "examples/", "proptest-regressions/", "build.rs", "Cargo.toml")
OCAML = (".ml", ".mli", ".mll", ".mly", ".t", ".mld", "dune", ".c", ".h")
# They list packages of OCaml.
LISTS = ("tools/setup/packages.sh", "tools/setup/resolve.py", "README.md", ".opam")
# OCaml folders whose tests are unit tests, each package's own. dune repeats no test whose inputs
# are unchanged.
TESTED = re.compile("(soil-ocaml|packages/[^/]+|tools/templates|docs/code)/")
# Only end-to-end tests and set-up's own tests check these.
BEYOND = re.compile("(tests|tools|bench|examples|platform/image|kernel|libc-compat|soil-sys|docs)/")


def output(*words):
    """A command's output, None if it fails."""
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def base():
    """The commit to compare with, and its name."""
    if output("git", "rev-parse", "--git-dir") is None:
        sys.exit("error: make check compares with a commit of git; without git run: make test")
    named = os.environ.get("BASE")
    for name in (named,) if named else BASES:
        if commit := output("git", "merge-base", name, "HEAD"):
            return commit.strip(), name
    sys.exit(
        f"error: BASE={named} is no commit that this branch has a common one with; see: git log"
    )


def changed(commit):
    """Files that differ from the commit, including untracked ones."""
    differ = output("git", "diff", "--name-only", "--no-renames", commit)
    untracked = output("git", "ls-files", "--others", "--exclude-standard")
    return sorted({*differ.splitlines(), *untracked.splitlines()})


def exists(path):
    return (ROOT / path).exists()


def owners(paths):
    """The workspace's crates that these files belong to: for each file the innermost."""
    found = set()
    for path in paths:
        folder = os.path.dirname(path)
        while folder and not exists(f"{folder}/Cargo.toml"):
            folder = os.path.dirname(folder)
        # The crates of benchmarks are not in the workspace.
        if folder and path.removeprefix(folder + "/").startswith(CARGO) and path[:6] != "bench/":
            manifest = (ROOT / folder / "Cargo.toml").read_text("utf-8")
            found.add(tomllib.loads(manifest)["package"]["name"])
    return sorted(found)


def pinned():
    """Whether this is CI's Rust: each version has more warnings."""
    packages = (ROOT / "tools/setup/packages.sh").read_text("utf-8")
    version = re.search(r"^rust_toolchain=(\S+)", packages, re.MULTILINE)[1]
    return (output("rustc", "--version") or "").startswith(f"rustc {version} ")


def steps(paths):
    """(name, command) for each check of these files."""
    yield "flaky tests", ["tests/harness/flaky.py", "check"]
    there = list(filter(exists, paths))
    if there:
        yield "words", ["tools/setup/words.py", *there]
    # Pages name files that may have moved, too.
    yield "paths in documents", ["tools/setup/paths.py"]
    yield "versions of a release", ["tools/setup/release.sh", "--check"]
    own = [word for name in owners(paths) for word in ("-p", name)]
    if own:
        yield "cargo fmt", ["cargo", "fmt", "--check", *own]
    if {"Cargo.toml", "Cargo.lock", "deny.toml"} & set(paths):
        yield "crates: licences, sources", ["tools/setup/crates.py", "check"]
    ocaml = [path for path in paths if path.endswith(OCAML)]
    if ocaml or {path for path in paths if path.endswith(LISTS)}:
        yield "libraries of make run, examples, templates", ["tools/setup/resolve.py"]
    if ocaml:
        yield "dune @fmt", ["dune", "build", "@_build/default/fmt"]
    if own:
        deny = ["--deny-warnings"] if pinned() else []
        words = ["env", LINTED, "tools/setup/cargotest.py", *deny, "--locked"]
        yield "cargo clippy and test", [*words, *own]
    if own or ocaml:
        yield "circles of files", ["cargo", "test", "-q", "--locked", "-p", "layers"]
    if own:
        # cargo compiles only the crates that use the changed ones.
        yield "cargo check", ["cargo", "check", "-q", "--locked", "--workspace"]
    tested = sorted({found[1] for path in ocaml if (found := TESTED.match(path))})
    if tested:
        aliases = [f"@_build/default/{top}/{of}" for top in tested for of in ("check", "runtest")]
        yield "dune runtest", ["tools/setup/dunetest.py", *aliases]
    for path in there:
        if path.endswith(".sh"):
            yield "syntax", ["sh", "-n", path]
    if sources := [path for path in there if path.endswith(".py")]:
        check = "import ast, sys; [ast.parse(open(name).read(), name) for name in sys.argv[1:]]"
        yield "syntax", ["python3", "-c", check, *sources]
        if shutil.which("ruff"):
            yield "ruff format", ["ruff", "format", "--check", *sources]
        else:
            print("\nleft out: ruff format: ruff is missing; install it: pipx install ruff")


def main():
    commit, name = base()
    paths = changed(commit)
    print(f"{len(paths)} files differ from {name}")
    failed = []
    for name, command in steps(paths):
        print(f"\n== {name}: {' '.join(command)}", flush=True)
        if "--list" not in sys.argv and subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
    if beyond := sorted({path.split("/")[0] for path in paths if BEYOND.match(path)}):
        print(f"\nnot shown by this, but by make test-all: what changed in {', '.join(beyond)}")
    print(f"failed: {', '.join(failed)}" if failed else "make check: passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
