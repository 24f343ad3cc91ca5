#!/usr/bin/env python3
"""`make mutants`: one-line faults in the lines that changed, and whether unit tests notice them.

The lines are those that differ from BASE, by default the commit that `make check` compares with.
`cargo-mutants` lists the faults of Rust, tools/mutants/mutate.ml those of the OCaml library. COUNT
of them (60) are drawn by SEED, which is printed, and planted one at a time in a copy of the tree,
target/mutants: the crate or library is compiled, and its unit tests run, for MINUTES (20) in all.
Faults that don't compile are replaced by others. Those in tests/mutants.tsv have no effect, and
don't count.
"""

import collections
import dataclasses
import filecmp
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import check

ROOT = check.ROOT
COPY = ROOT / "target/mutants/tree"
LOG = ROOT / "target/mutants/log"
KNOWN = "tests/mutants.tsv"
COLUMNS = ["file", "text of the line", "fault", "why it has no effect"]
# The share of faults below which this fails, in percent.
LEAST = 80
# Only images, end-to-end tests or loom run these; fakes are tests' own.
EXCLUDED = re.compile(
    r"(.*/)?(tests?|fake|benches|examples)/|.*/(build|tests|fake)\.rs|bench/|loader/|libc-compat/"
    r"|platform/(image|sim/preload)/|tools/(models|templates)/|kernel/src/(arch|board)/"
)
# In the name of a function that isn't compiled here.
ELSEWHERE = "aarch64::" if os.uname().machine == "x86_64" else "x86_64::"
# In a dune file: the folder has tests.
HAS_TESTS = re.compile(r"\(tests?\b|runtest")
# Where the tests are of a folder of the OCaml library that has none.
COMMON_TESTS = "soil-ocaml/test"
# Seconds for the tests of one fault: a multiple of what they take without it, and a minimum.
PATIENCE, LEAST_PATIENCE = 5, 120


@dataclasses.dataclass(frozen=True)
class Fault:
    file: str
    line: int
    # The bytes to replace, and what by.
    first: int
    last: int
    replacement: bytes
    # For a reader.
    change: str
    # The command that compiles it, and those that may notice it, in their order.
    compiles: tuple
    tests: tuple

    def __str__(self):
        return f"{self.file}:{self.line}: {self.change}"


def short(text):
    """A text on one line, of at most 60 characters."""
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "…"


def changed_lines(commit):
    """The ranges of lines of each file that differ from the commit."""
    words = [
        "git",
        "diff",
        "-U0",
        "--find-renames",
        "-l0",
        "--no-ext-diff",
        commit,
        "--",
        "*.rs",
        "*.ml",
    ]
    diff = check.output(*words)
    found, path = {}, None
    for line in diff.splitlines():
        if line.startswith("+++ "):
            path = line[6:] if line.startswith("+++ b/") else None
        elif (hunk := re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", line)) and path:
            first, count = int(hunk[1]), int(hunk[2] or 1)
            if count and not EXCLUDED.match(path):
                found.setdefault(path, []).append((first, first + count - 1))
    return found


def copy_tree():
    """Makes COPY the tree as it is, with what dune has built if there is no copy so far."""
    COPY.mkdir(parents=True, exist_ok=True)
    names = check.output("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = {name for name in names.split("\0") if name and os.path.lexists(ROOT / name)}
    listed = COPY.parent / "files"
    before = set(listed.read_text("utf-8").split("\0")) if listed.exists() else set()
    for name in filter(None, before - names):
        (COPY / name).unlink(missing_ok=True)
    for name in names:
        source, to = ROOT / name, COPY / name
        if source.is_symlink() or not to.exists() or not filecmp.cmp(source, to, shallow=False):
            to.parent.mkdir(parents=True, exist_ok=True)
            to.unlink(missing_ok=True)
            shutil.copy2(source, to, follow_symlinks=False)
    listed.write_text("\0".join(names), "utf-8")
    if (ROOT / "_build").is_dir() and not (COPY / "_build").exists():
        (COPY / "_build").mkdir()
        # No image is built.
        parts = [path for path in (ROOT / "_build").iterdir() if not path.name.startswith("soil")]
        words = ["cp", "-a", "--reflink=auto", *parts, COPY / "_build"]
        subprocess.run(words, check=True)


def run(command, seconds):
    """Whether a command succeeds in the copy within a time; its output goes to LOG."""
    with open(LOG, "wb") as log:
        child = subprocess.Popen(
            command,
            cwd=COPY,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return child.wait(max(seconds, 1)) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            # dune ends what it started; cargo's tests are of its session.
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(10)
                except subprocess.TimeoutExpired:
                    pass
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            child.wait()


def dune(*aliases):
    return ("dune", "build", "--root", ".", *(f"@_build/default/{alias}" for alias in aliases))


def suite(file):
    """The folder with the tests of a file of the OCaml library."""
    folder = pathlib.PurePath(file).parent
    while len(folder.parts) > 1:
        files = (COPY / folder).rglob("dune")
        if any(HAS_TESTS.search(found.read_text("utf-8")) for found in files):
            return str(folder)
        folder = folder.parent
    return COMMON_TESTS


def ocaml_faults(changed):
    """Faults of the OCaml library."""
    changed = {
        path: lines
        for path, lines in changed.items()
        if path.startswith(("soil-ocaml/", "packages/")) and path.endswith(".ml")
    }
    if not changed:
        return
    program = "_build/default/tools/mutants/mutate.exe"
    if not run(("dune", "build", "--root", ".", program), 600):
        sys.exit(f"error: tools/mutants can't be built:\n{LOG.read_text('utf-8', 'replace')}")
    for path, lines in sorted(changed.items()):
        words = [f"{first}-{last}" for first, last in lines]
        listing = subprocess.run([COPY / program, path, *words], cwd=COPY, capture_output=True)
        if listing.returncode:
            sys.exit(f"error: {path}: {listing.stderr.decode('utf-8', 'replace')}")
        fields = listing.stdout.split(b"\0")
        folder = os.path.dirname(path)
        for line, first, last, replacement, source, to in zip(*[iter(fields)] * 6):
            change = f"{short(source.decode())} -> {short(to.decode())}"
            compiles, tests = dune(f"{folder}/check"), (dune(f"{suite(path)}/runtest"),)
            place = int(line), int(first), int(last)
            yield Fault(path, *place, replacement, change, compiles, tests)


def offset(source, place):
    """The offset in bytes of a line and column, which count characters from 1 on."""
    lines = source.split("\n")
    before = lines[: place["line"] - 1] + [lines[place["line"] - 1][: place["column"] - 1]]
    return len("\n".join(before).encode())


def rust_faults(changed, commit):
    """Faults of the crates."""
    changed = sorted(path for path in changed if path.endswith(".rs"))
    if not changed:
        return
    if not shutil.which("cargo-mutants"):
        print("left out: Rust: cargo-mutants is missing; cargo install cargo-mutants --locked")
        return
    diff = COPY.parent / "diff"
    diff.write_text(check.output("git", "diff", "--no-ext-diff", commit, "--", *changed), "utf-8")
    words = ["cargo", "mutants", "--list", "--json", "--workspace", "--in-diff", str(diff)]
    listing = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        sys.exit(f"error: cargo mutants --list: {listing.stderr}")
    units = crates()
    for found in json.loads(listing.stdout):
        if (found["function"] or {}).get("function_name", "").startswith(ELSEWHERE):
            continue
        path, span = found["file"], found["span"]
        source = (ROOT / path).read_text("utf-8")
        first, last = offset(source, span["start"]), offset(source, span["end"])
        text = source.encode()[first:last].decode()
        if found["genre"] == "FnValue":
            text = "the body of " + found["function"]["function_name"]
        change = f"{short(text)} -> {short(found['replacement']) or 'nothing'}"
        place = span["start"]["line"], first, last
        tests = units[found["package"]]
        compiles = (*tests[0], "--no-run")
        # Those of the top module first: they are few, and the likeliest to notice it.
        module = path.partition("src/")[2].split("/")[0].removesuffix(".rs")
        if tests[0][-1] == "--lib" and module != "lib":
            tests = ((*tests[0], "--", f"{module}::"), *tests)
        yield Fault(path, *place, found["replacement"].encode(), change, compiles, tests)


def crates():
    """The commands that run the unit tests of each crate."""
    metadata = check.output("cargo", "metadata", "--locked", "--no-deps", "--format-version", "1")
    packages = json.loads(metadata)["packages"]
    own, users = {}, {}
    for package in packages:
        name = package["name"]
        targets = [target for target in package["targets"] if target["test"]]
        kinds = {kind for target in targets for kind in target["kind"]}
        words = [["--bins"]] if "bin" in kinds else []
        words += [["--test", "*"]] if "test" in kinds else []
        # The others are kinds of libraries.
        words[:0] = [["--lib"]] if kinds - {"bin", "test", "example", "bench"} else []
        own[name] = tuple(("cargo", "test", "-q", "--locked", "-p", name, *more) for more in words)
        for needed in package["dependencies"]:
            users.setdefault(needed["name"], set()).add(name)
    for package in packages:
        name, folder = package["name"], pathlib.Path(package["manifest_path"]).parent
        sources = (path.read_text("utf-8") for path in folder.rglob("src/**/*.rs"))
        # A crate without tests of its own is tested by those that use it.
        if not any("#[test]" in source or "proptest!" in source for source in sources):
            own[name] += tuple(own[user][0] for user in sorted(users.get(name, ())) if own[user])
    return {name: tests for name, tests in own.items() if tests}


def known():
    """Faults without effect, by file, text of the line, and change."""
    found = set()
    rows = (ROOT / KNOWN).read_text("utf-8").splitlines()
    if rows[0].split("\t") != COLUMNS:
        sys.exit(f"error: {KNOWN}: the first row isn't: {', '.join(COLUMNS)}")
    for number, row in enumerate(rows[1:], 2):
        fields = row.split("\t")
        if len(fields) != len(COLUMNS) or not all(fields):
            sys.exit(f"error: {KNOWN}:{number}: a row has {len(COLUMNS)} columns: {row}")
        file, text, change, _ = fields
        path = ROOT / file
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        if text not in map(str.strip, lines):
            sys.exit(f"error: {KNOWN}:{number}: {file} has no such line: {text}")
        found.add((file, text, change))
    return found


def is_known(fault, rows):
    line = (ROOT / fault.file).read_text("utf-8").splitlines()[fault.line - 1]
    return (fault.file, line.strip(), fault.change) in rows


class Clock:
    """The time that is left."""

    def __init__(self, minutes):
        self.end = time.monotonic() + 60 * minutes
        # Seconds that tests take without a fault.
        self.takes = {}

    def left(self):
        return self.end - time.monotonic()

    def prepare(self, command):
        """Runs tests without a fault, once. False if the time is over."""
        # The time without compilation; dune doesn't repeat tests that passed.
        forced = command if command[0] == "cargo" else (*command, "--force")
        if command[0] == "cargo":
            words = command[: command.index("--")] if "--" in command else command
            run((*words, "--no-run"), self.left())
        began = time.monotonic()
        if not run(forced, self.left()) and self.left() > 0:
            text = LOG.read_text("utf-8", "replace")[-4000:]
            sys.exit(f"{text}\nerror: without a fault this fails: {' '.join(command)}")
        self.takes[command] = time.monotonic() - began
        return self.left() > 0


def judge(fault, clock):
    """Whether tests notice a fault; None if it doesn't compile, or the time is over."""
    path = COPY / fault.file
    source = path.read_bytes()
    mutant = source[: fault.first] + fault.replacement + source[fault.last :]
    try:
        path.write_bytes(mutant)
        if not run(fault.compiles, clock.left()):
            return None
        for command in fault.tests:
            if command not in clock.takes:
                path.write_bytes(source)
                if not clock.prepare(command):
                    return None
                path.write_bytes(mutant)
            patience = max(PATIENCE * clock.takes[command], LEAST_PATIENCE)
            if not run(command, min(patience, clock.left())):
                return True
        return False
    finally:
        path.write_bytes(source)


def number(name, default):
    value = os.environ.get(name) or default
    if not str(value).isdigit():
        sys.exit(f"error: {name}={value} is no number")
    return int(value)


def main():
    commit, name = check.base()
    seed = number("SEED", random.randrange(1 << 32))
    count, minutes = number("COUNT", 60), number("MINUTES", 20)
    rows, clock = known(), Clock(minutes)
    copy_tree()
    changed = changed_lines(commit)
    faults = [*ocaml_faults(changed), *rust_faults(changed, commit)]
    random.Random(seed).shuffle(faults)
    print(f"{len(faults)} faults in lines that differ from {name}; COUNT={count} SEED={seed}")
    noticed, survivors, without, broken = 0, [], 0, 0
    while faults and noticed + len(survivors) < count and clock.left() > 0:
        drawn = count - noticed - len(survivors)
        sample, faults = faults[:drawn], faults[drawn:]
        # Faults of one crate or library one after another: the others aren't compiled again.
        for fault in sorted(sample, key=lambda fault: (fault.tests, fault.file, fault.line)):
            if is_known(fault, rows):
                without += 1
                continue
            verdict = judge(fault, clock)
            if clock.left() <= 0:
                print(f"{minutes} minutes are over; MINUTES={2 * minutes} runs more")
                break
            if verdict is None:
                broken += 1
                continue
            noticed += verdict
            if not verdict:
                survivors.append(str(fault))
            print(f"{'noticed' if verdict else 'SURVIVED'}  {fault}", flush=True)
    if survivors:
        print(f"\nnot noticed ({KNOWN} has those without an effect):")
        print("\n".join(survivors))
    print(f"{broken} don't compile, and were replaced")
    total = noticed + len(survivors)
    share = 100 * noticed // total if total else 100
    print(f"mutants: {noticed} of {total} noticed ({share} %), {without} without effect")
    return int(share < LEAST)


if __name__ == "__main__":
    sys.exit(main())
