#!/usr/bin/env python3
"""The rule for a test that fails in a whole run, and the record of those that passed afterwards.

A failed test is repeated by itself after all others, twice at most. If it passes then, it counts
as passed, and the run reports it. A failure that no slow machine explains is final (`final`, and
each runner's own reasons). tests/README.md has the whole rule.

Usage: flaky.py record REPORT   appends the lines of REPORT to tests/flaky.tsv
       flaky.py check           fails if a name occurs more than once
"""

import collections
import datetime
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RECORD = os.path.join(ROOT, "tests", "flaky.tsv")
# More failures than this have one cause, which repeating each test would only hide.
MANY = 10

# `why` is the first line of the failure; `final` is the reason not to repeat the test, None if it
# may be repeated.
Failure = collections.namedtuple("Failure", "why final")

FINAL = {
    "a panic": r"Rust panic: |\bpanicked at ",
    "a crash": r"soil: crash: |Segmentation fault|\b(killed|ended) by signal (?!2\b|9\b|15\b)"
    r"|\bgot signal (?!KILL|TERM)|exception Stack[_ ]overflow|exception Out[_ ]of[_ ]memory",
    "a sanitizer's report": r"\w+Sanitizer: |: runtime error: |Undefined Behavior: ",
    "a counterexample": r"minimal failing input: |failed on (≥|>=) \d+ cases|^mismatch: seed \d",
}
# During random work, a disk that the machine stalled returns an error unknown to the model.
STALLED = "the disk doesn't answer"


def final(text):
    """The reason not to repeat a failure with this output; None if it may be repeated."""
    for what, pattern in FINAL.items():
        if what == "a counterexample" and STALLED in text:
            continue
        if re.search(pattern, text, re.MULTILINE):
            return what
    return None


def first_line(text):
    """The first meaningful line, made fit for one field of the record."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return next((line for line in lines if line), "no output")


def run_again(failures, again):
    """Repeats the failed tests. `failures` are Failures by name; `again(names)` runs these tests by
    themselves and returns the failures. Returns the report's lines, by the name of each test that
    passed, and the remaining failures."""
    first = {name: failure.why for name, failure in failures.items()}
    passed, left = {}, dict(failures)
    if len(left) > MANY:
        print(f"{len(left)} tests failed: none is run again", flush=True)
        return passed, left
    for times in ("once", "twice"):
        names = [name for name, failure in left.items() if not failure.final]
        if not names:
            break
        found = again(names)
        for name in names:
            if name not in found:
                del left[name]
                passed[name] = f"flaky: {name} (failed {times}: {first[name]})"
        for name, failure in found.items():
            passed.pop(name, None)
            first.setdefault(name, failure.why)
            left[name] = failure
    for name, failure in left.items():
        if failure.final:
            print(f"{name}: not run again: {failure.final}", flush=True)
    return passed, left


def told(report):
    """(name, message) of each line of `run_again`."""
    for line in report.splitlines():
        if found := re.fullmatch(r"flaky: (.*?) \(failed (?:once|twice): (.*)\)", line):
            yield found.groups()


def commit():
    done = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "--short=12", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def record(report, path=RECORD):
    """Appends date, commit, name and message, except in CI, which discards its tree."""
    rows = list(told(report))
    if not rows or os.environ.get("CI"):
        return
    with open(path, "a", encoding="utf-8") as file:
        for row in rows:
            fields = [str(datetime.date.today()), commit(), *row]
            file.write("\t".join(" ".join(field.split()) for field in fields) + "\n")


def repeated(path=RECORD):
    """The names that occur more than once in the record."""
    with open(path, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file if line.strip()]
    counts = collections.Counter(row[2] for row in rows)
    return [name for name, count in counts.items() if count > 1]


def main():
    match sys.argv[1:]:
        case ["record", report]:
            with open(report, encoding="utf-8") as file:
                record(file.read())
            return 0
        case ["check"]:
            names = repeated()
            for name in names:
                print(
                    f"FAILED {name}: it failed in more than one run and passed when it was run"
                    " again. Mend it before anything else, and take its rows out of"
                    " tests/flaky.tsv with the same commit"
                )
            print(f"{0 if names else 1} passed, {len(names)} failed")
            return 1 if names else 0
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main())
