#!/usr/bin/env python3
"""words.py [FILE…]: lists words and names with a better alternative, by file and line; without
names in all files of the repository. Fails, too, if all texts together have too many relative
clauses in place of nouns. --tics lists those. A part of `make check` and `make test`;
CONTRIBUTING.md has the reason."""

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

# A relative clause or a pronoun in the place of a noun, and how many of them a thousand words of
# comments, pages and messages may have.
TIC = re.compile(
    r"(?i)\b(?:what (?:[\w'-]+ ){0,4}?(?:is|are|was|were|has|have)|(?:that|those) of|ones? that)\b"
)
MAX_TICS = 2.25
# Comments and strings of each language; comments of adjacent lines are one text.
C = r"//[/!]? ?(.*)|\"((?:[^\"\\\n]|\\.|\\\n\s*)*)\""
OCAML = r"\(\*((?s:.)*?)\*\)|\"((?:[^\"\\]|\\(?s:.))*)\""
SCRIPT = r"(?<!\S)# ?(.*)|\"\"\"((?s:.)*?)\"\"\"|\"((?:[^\"\\\n]|\\.)*)\""
TEXT = {
    **dict.fromkeys((".rs", ".c", ".h"), re.compile(C)),
    **dict.fromkeys((".ml", ".mli", ".mll"), re.compile(OCAML)),
    **dict.fromkeys((".py", ".sh", ".toml"), re.compile(SCRIPT)),
    **dict.fromkeys((".md", ".mld"), re.compile(r"(?m)^```(?s:.)*?^```|(.+)")),
}


def tics(paths):
    """The number of words, and (path, tic) for each."""
    words, all_tics = 0, []
    for path in paths:
        with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as file:
            parts = TEXT[os.path.splitext(path)[1]].finditer(file.read())
        groups = (part for match in parts for part in match.groups() if part)
        text = " ".join(part for part in groups if " " in part)
        words += len(re.findall(r"[A-Za-z]+", text))
        all_tics += [(path, " ".join(tic[0].split())) for tic in TIC.finditer(text)]
    return words, all_tics


def found(path):
    """(line number, match, replacement)."""
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            for pattern, better in WORDS:
                if match := pattern.search(line):
                    yield number, match[0].strip(), better


def main():
    paths = sys.argv[1:]
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if not paths and listed.returncode:
        # A copy without git has no list of files.
        print("left out: git lists no files here")
        return 0

    def is_text(path):
        exists = os.path.isfile(os.path.join(ROOT, path))
        return path.endswith(TEXTS) and path not in EXCEPT and exists

    every = list(filter(is_text, listed.stdout.splitlines()))
    words, all_tics = tics(every)
    if paths == ["--tics"]:
        print(*(f"{path}: {tic}" for path, tic in all_tics), sep="\n")
        return 0
    wrong = 0
    for path in filter(is_text, paths) if paths else every:
        for number, word, better in found(path):
            wrong += 1
            print(f"{path}:{number}: {word!r}: write: {better}")
    share = 1000 * len(all_tics) / max(words, 1)
    if share > MAX_TICS:
        wrong += 1
        print(
            f'{share:.2f} of 1,000 words are "what … is", "that of", "those of" or "one that", more '
            f"than {MAX_TICS}: name the noun; tools/setup/words.py --tics lists them"
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
