#!/usr/bin/env python3
"""`dune build` of aliases that run tests; failed tests are repeated (tests/harness/flaky.py).

Dune repeats the failed actions, each program whole, in its folder, with its dependencies and
environment, and then the rest of the action. Arguments: those of `dune build`.
"""

import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))

from harness import flaky  # noqa: E402

# What dune says of a place begins a block; Alcotest's places have one `character`.
BLOCK = re.compile(r'^(?=File "[^"]+", lines? [\d-]+, characters )', re.MULTILINE)
HEAD = re.compile(r'File "([^"]+)", lines? [\d-]+')
# A summary of Alcotest's with failures, and the line of each failure.
SUMMARY = re.compile(r"^\d+ failures?! in .*tests? run\.$", re.MULTILINE)
FAILED = re.compile(r"^[> ] \[FAIL\] +(.+?) +(\d+) +(.*?)\.$", re.MULTILINE)
# The report of one failed test: its frame, and its output.
REPORT = re.compile(
    r"^│ \[FAIL\] +(.+?) +(\d+) +.*│\n└─+┘\n((?:.*\n)*?)Logs saved to", re.MULTILINE
)


def dune(*words):
    """Runs `dune build`: returns its status and output, with the report of every failed test."""
    done = subprocess.run(
        ["dune", "build", *words],
        env={**os.environ, "ALCOTEST_SHOW_ERRORS": "1", "ALCOTEST_COLOR": "never"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout


def failures(text):
    """The failed tests in dune's output, by name. Any other failure is final."""
    found = {}
    for block in BLOCK.split(text)[1:]:
        where = HEAD.match(block)[1]
        said = block.partition("\n")[2]
        if SUMMARY.search(block):
            found |= alcotest(os.path.dirname(where), block)
        elif where.endswith(".t"):
            # The lines that the program printed instead of those of the script.
            other = re.search(r"^\+(?!\+\+ )(.*)", said, re.MULTILINE)
            why = flaky.first_line(other[1] if other else said)
            found[where] = flaky.Failure(why, flaky.final(said))
        elif re.search(r"^(Error|Warning|Alert)\b", said, re.MULTILINE) or where.endswith("/dune"):
            final = None if re.search(r"Assert_failure", said) else "it isn't a test that failed"
            found[where] = flaky.Failure(flaky.first_line(said), flaky.final(said) or final)
    return found


def alcotest(folder, block):
    """The failed tests of one program."""
    reports = {(suite, number): said for suite, number, said in REPORT.findall(block)}
    found = {}
    for suite, number, title in FAILED.findall(block):
        said = reports.get((suite, number), "")
        lines = [line for line in said.splitlines() if not line.startswith(("ASSERT ", 'File "'))]
        why = flaky.first_line("\n".join(lines))
        found[f"{folder}: {suite}: {title}"] = flaky.Failure(why, flaky.final(said))
    return found


def held_back(text):
    """The output without the failure counts, since the failed tests are repeated."""
    return SUMMARY.sub(lambda found: "  " + found[0], text)


def main():
    words = sys.argv[1:]
    status, text = dune(*words)
    found = failures(text)
    if status == 0 or not found or any(failure.final for failure in found.values()):
        print(text, end="")
        return 1 if status else 0
    outputs = [text]

    def again(names):
        nonlocal status
        status, text = dune("-j1", *words)
        outputs.append(text)
        found = failures(text)
        if any(failure.final for failure in found.values()):
            # A program that crashes hasn't run all of its tests.
            found = dict.fromkeys(names, flaky.Failure("not run", "a program crashed")) | found
        return found

    told, left = flaky.run_again(found, again)
    for each in outputs[:-1]:
        print(held_back(each), end="")
    print(outputs[-1], end="")
    print(*told.values(), sep="\n", end="\n" if told else "")
    return 1 if status or left else 0


if __name__ == "__main__":
    sys.exit(main())
