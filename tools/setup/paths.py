#!/usr/bin/env python3
"""paths.py [PAGE…]: lists the missing files that pages name in backticks, by page and line; without
arguments of all pages. A name is the whole path from the repository's root or from the page's
folder. Of the code index also the functions and types, in parentheses behind a file, that it doesn't
define. A part of `make check` and `make test`."""

import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NAME = re.compile(r"`([\w-][\w./-]*\.(?:c|h|md|mld|ml|mli|mll|py|rs|sh))`")
INDEX = "code-index.md"
# A file of the code index, or the parentheses behind one.
INDEXED = re.compile(r"`([\w./-]+\.(?:rs|mli?|c|py|sh))`|\((`[^()]*)\)")
WORD = re.compile(r"`(\w+)`")
DEFINES = r"\b(?:fn|macro_rules!|struct|enum|trait|type|mod|const|static|let|let rec|and|val|external|def)\s+%s\b"
# Files of readers, and of other projects.
OTHERS = {
    "config.ml",
    "digestif.c",
    "foo.rs",
    "foo/mod.rs",
    "main.ml",
    "register.ml",
    "test/simulate.ml",
}


def listed(*patterns):
    """The repository's files that fit the patterns; None in a copy without git."""
    command = ["git", "ls-files", *patterns]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        print("left out: git lists no files here")
    return None if done.returncode else done.stdout.splitlines()


def missing(page):
    """(line number, name), outside of code blocks."""
    folder = os.path.dirname(os.path.join(ROOT, page))
    is_code = False
    with open(os.path.join(ROOT, page), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            is_code ^= line.lstrip().startswith("```")
            for name in () if is_code else NAME.findall(line):
                places = (os.path.join(place, name) for place in (ROOT, folder))
                if name not in OTHERS and not any(map(os.path.isfile, places)):
                    yield number, name


def undefined(page):
    """(line number, file, name) of what the code index names and the file doesn't define."""
    with open(os.path.join(ROOT, page), encoding="utf-8") as file:
        lines = file.read().splitlines()
    for number, line in enumerate(lines, 1):
        source = text = ""
        for path, parentheses in INDEXED.findall(line):
            if path and os.path.isfile(os.path.join(ROOT, path)):
                source = path
                with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                    text = file.read()
            for name in WORD.findall(parentheses) if source else ():
                if not re.search(DEFINES % name, text):
                    yield number, source, name


def main():
    pages = [page for page in sys.argv[1:] if page.endswith(".md")]
    wrong = 0
    for page in pages if sys.argv[1:] else listed("*.md") or ():
        for number, name in missing(page):
            wrong += 1
            print(f"{page}:{number}: {name} is missing: write the path from the root or from here")
        for number, source, name in undefined(page) if page.endswith(INDEX) else ():
            wrong += 1
            print(f"{page}:{number}: {source} doesn't define {name}: name what does the work now")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
