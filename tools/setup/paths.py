#!/usr/bin/env python3
"""paths.py [PAGE…]: lists the missing files that pages name in backticks, by page and line; without
arguments of all pages. A name is the whole path from the repository's root or from the page's
folder. A part of `make check` and `make test`."""

import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NAME = re.compile(r"`([\w-][\w./-]*\.(?:c|h|md|mld|ml|mli|mll|py|rs|sh))`")
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


def main():
    pages = [page for page in sys.argv[1:] if page.endswith(".md")]
    wrong = 0
    for page in pages if sys.argv[1:] else listed("*.md") or ():
        for number, name in missing(page):
            wrong += 1
            print(f"{page}:{number}: {name} is missing: write the path from the root or from here")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
