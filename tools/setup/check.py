#!/usr/bin/env python3
"""`make check`: formatters, linters and unit tests of the crates and OCaml libraries that changed.

The base for the comparison is the commit named by BASE, or the first that exists of origin/main,
the branch's upstream, and the previous commit. Uncommitted files count as well. Without git
everything counts as changed. --list only prints the steps.
"""

import json
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Without BASE.
BASES = ("origin/main", "@{upstream}", "HEAD~1", "HEAD")
# The compiler's lints come with the tests, as in `make test`, and share its programs.
LINTED = "RUSTC_WORKSPACE_WRAPPER=clippy-driver"
# The parts of a crate's folder that cargo compiles or the tests read.
CARGO = ("src/", "tests/", "examples/", "proptest-regressions/", "build.rs", "Cargo.toml")
OCAML = (".ml", ".mli", ".mll", ".mly", ".t", ".mld", "dune", ".c", ".h")
# OCaml folders whose tests are unit tests; `soil-ocaml/src` has them in `soil-ocaml/test`.
TESTED = ("soil-ocaml/", "tools/templates/", "docs/code/")


def output(*words):
    """A command's output, None if it fails."""
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def lines(*words):
    return (output(*words) or "").split("\n")[:-1]


def base():
    """The commit to compare with, and its name; None without git."""
    if output("git", "rev-parse", "--git-dir") is None:
        return None
    named = os.environ.get("BASE")
    for name in (named,) if named else BASES:
        if commit := output("git", "merge-base", name, "HEAD"):
            return commit.strip(), name
    sys.exit(
        f"error: BASE={named} is no commit that this branch has a common one with; see: git log"
    )


def changed(found):
    """Files that differ from the base, including untracked ones."""
    if found is None:
        return [
            os.path.relpath(os.path.join(folder, name), ROOT)
            for top in sorted(os.listdir(ROOT))
            if top not in ("target", "_build") and os.path.isdir(os.path.join(ROOT, top))
            for folder, _, names in os.walk(os.path.join(ROOT, top))
            for name in names
        ]
    return sorted(
        set(lines("git", "diff", "--name-only", "--no-renames", found[0]))
        | set(lines("git", "ls-files", "--others", "--exclude-standard"))
    )


def crates():
    """The workspace's crates: folder and names of the crates that it uses, by name."""
    text = output("cargo", "metadata", "--format-version=1", "--no-deps", "--offline")
    if text is None:
        sys.exit("error: cargo metadata failed; run: cargo metadata --no-deps --offline")
    return {
        each["name"]: (
            os.path.relpath(os.path.dirname(each["manifest_path"]), ROOT),
            {used["name"] for used in each["dependencies"]},
        )
        for each in json.loads(text)["packages"]
    }


def owners(paths, every):
    """The crates that these files belong to: for each file the innermost."""
    found = set()
    for path in paths:
        inside = [
            (len(folder), name, path.removeprefix(folder + "/"))
            for name, (folder, _) in every.items()
            if path.startswith(folder + "/")
        ]
        if inside and max(inside)[2].startswith(CARGO):
            found.add(max(inside)[1])
    return found


def users(names, every):
    """The crates that use these, directly or indirectly."""
    found = set(names)
    while more := {name for name, (_, used) in every.items() if used & found} - found:
        found |= more
    return sorted(found - set(names))


def folders(paths):
    """The folders of dune with changed OCaml files."""
    return sorted(
        {
            os.path.dirname(path)
            for path in paths
            if path.endswith(OCAML)
            and os.path.exists(os.path.join(ROOT, os.path.dirname(path), "dune"))
        }
    )


def aliases(folders):
    """Dune's aliases that compile these folders and run their tests."""
    found = set()
    for folder in filter(lambda folder: folder.startswith(TESTED), folders):
        found.add(f"@_build/default/{folder}/check")
        parts = folder.split("/")
        for length in range(len(parts), 1, -1):
            tests = "/".join([*parts[:length], "test"])
            if os.path.exists(os.path.join(ROOT, tests, "dune")):
                found.add(f"@_build/default/{tests}/runtest")
                break
        else:
            if folder.startswith("soil-ocaml/"):
                shared = "soil-ocaml/test" if parts[1] == "src" else "soil-ocaml/test/ecosystem"
                found.add(f"@_build/default/{folder if 'test' in parts else shared}/runtest")
    return sorted(found)


def pinned():
    """Whether this is CI's Rust: each version has more warnings."""
    with open(os.path.join(ROOT, "tools/setup/packages.sh"), encoding="utf-8") as file:
        version = re.search(r"^rust_toolchain=(\S+)", file.read(), re.MULTILINE)[1]
    return (output("rustc", "--version") or "").startswith(f"rustc {version} ")


def python(paths):
    """The Python files among these that exist."""
    return [
        path for path in paths if path.endswith(".py") and os.path.exists(os.path.join(ROOT, path))
    ]


def steps(paths):
    """(name, command) for each check of these files."""
    yield "flaky tests", ["tests/harness/flaky.py", "check"]
    there = [path for path in paths if os.path.exists(os.path.join(ROOT, path))]
    if there:
        yield "words", ["tools/setup/words.py", *there]
    # Pages name files that may have moved, too.
    yield "paths in documents", ["tools/setup/paths.py"]
    yield "versions of a release", ["tools/setup/release.sh", "--check"]
    every = crates()
    own = sorted(owners(paths, every))
    packages = [word for name in own for word in ("-p", name)]
    if own:
        yield "cargo fmt", ["cargo", "fmt", "--check", *packages]
    if {"Cargo.toml", "Cargo.lock", "deny.toml"} & set(paths):
        yield "crates: licences, sources", ["tools/setup/crates.py", "check"]
    found = folders(paths)
    if found:
        yield "dune @fmt", ["dune", "build", "@_build/default/fmt"]
    if own:
        deny = ["--deny-warnings"] if pinned() else []
        words = ["env", LINTED, "tools/setup/cargotest.py", *deny, "--locked"]
        yield "cargo clippy and test", [*words, *packages]
    if own or found:
        yield "circles of files", ["cargo", "test", "-q", "--locked", "-p", "layers"]
    if others := users(own, every):
        words = [word for name in others for word in ("-p", name)]
        yield "cargo check, of what uses them", ["cargo", "check", "-q", "--locked", *words]
    if tested := aliases(found):
        yield "dune runtest", ["tools/setup/dunetest.py", *tested]
    for path in there:
        if path.endswith(".sh"):
            yield "syntax", ["sh", "-n", path]
    if sources := python(paths):
        check = "import ast, sys; [ast.parse(open(name).read(), name) for name in sys.argv[1:]]"
        yield "syntax", ["python3", "-c", check, *sources]
        if shutil.which("ruff"):
            yield "ruff format", ["ruff", "format", "--check", *sources]


# Only end-to-end tests and set-up's own tests check these.
BEYOND = (
    "tests/",
    "tools/",
    "bench/",
    "examples/",
    "platform/image/",
    "kernel/",
    "libc-compat/",
    "soil-sys/",
    "docs/",
)


def main():
    found = base()
    paths = changed(found)
    print(
        f"{len(paths)} files differ from {found[1]}"
        if found
        else "no git: everything counts as changed"
    )
    failed = []
    for name, command in steps(paths):
        print(f"\n== {name}: {' '.join(command)}", flush=True)
        if "--list" not in sys.argv and subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
    if python(paths) and not shutil.which("ruff"):
        print("\nleft out: ruff format: ruff is missing; install it: pipx install ruff")
    if beyond := sorted({path.split("/")[0] for path in paths if path.startswith(BEYOND)}):
        print(f"\nnot shown by this, but by make test: what changed in {', '.join(beyond)}")
    print(f"failed: {', '.join(failed)}" if failed else "make check: passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
