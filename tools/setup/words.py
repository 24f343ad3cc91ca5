#!/usr/bin/env python3
"""words.py [FILE…]: lists words and names with a better alternative, by file and line; without
names in all files of the repository. A part of `make check` and `make test`; CONTRIBUTING.md has
the reason."""

import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TEXTS = (".rs", ".ml", ".mli", ".mll", ".c", ".h", ".py", ".sh", ".md", ".mld", ".toml")
# These contain the words on purpose.
EXCEPT = ("tools/setup/words.py", "tests/cases/checks.py", "CONTRIBUTING.md")

# A pattern, and its replacement.
WORDS = [
    (re.compile(pattern), better)
    for pattern, better in (
        (r"\b(is|are)n't there\b", "is missing, unknown, unsupported"),
        (r"\b(is|are) told\b(?! apart)", "learns, gets, is notified; or who reports it"),
        (r"(?i)^\W*what differs\b", "Differences"),
        (r"(?i)\bwhoever\b", "a user, a reader, anyone who"),
        (r"(?i)\banew\b", "again"),
        (
            r"\b(const|static) (\w+_)?(MOST|LEAST|(LARG|SMALL|LONG|SHORT)EST)(_|\b)",
            "MAX_…, MIN_…",
        ),
        (r"\b(fn|def|let|let rec) (look|looks|looked)\b", "poll, check, scan, read: what it does"),
        (r"\b(fn|def|let|let rec) (try_)?settled?\b", "flush, resolve, drain: what it does"),
        (r"\b(fn|def) (go_on|see_to|is_there|is_away)\b", "resume, handle, exists: what it does"),
    )
]


def found(path):
    """(line number, match, replacement)."""
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            for pattern, better in WORDS:
                if match := pattern.search(line):
                    yield number, match[0].strip(), better


def main():
    paths = sys.argv[1:]
    if not paths:
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
        if listed.returncode:
            # A copy without git has no list of files.
            print("left out: git lists no files here")
            return 0
        paths = listed.stdout.splitlines()
    wrong = 0
    for path in paths:
        if not path.endswith(TEXTS) or path in EXCEPT:
            continue
        if not os.path.isfile(os.path.join(ROOT, path)):
            continue
        for number, word, better in found(path):
            wrong += 1
            print(f"{path}:{number}: {word!r}: write: {better}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
