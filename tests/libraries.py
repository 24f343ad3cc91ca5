#!/usr/bin/env python3
"""Writes the table of docs/libraries.md from tests/libraries.tsv and a run of the tests.

    tests/run.py $(tests/libraries.py --words) | tests/libraries.py

With --words it prints the names of the listed tests, all of which have to be in the run. A version is Debian's of the
package, a size that of the stripped image. cases/libraries.py compares list and page.
"""

import collections
import functools
import gzip
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness.context import ROOT, SOIL  # noqa: E402
from harness.runner import collect  # noqa: E402

LIST = os.path.join(ROOT, "tests", "libraries.tsv")
PAGE = os.path.join(ROOT, "docs", "libraries.md")
HEAD = ["library", "version", "process", "image", "KB", "differences in an image", "tests"]
RUN = "tests/run.py $(tests/libraries.py --words) | tests/libraries.py"
BEGIN, END = "<!-- from tests/libraries.py -->\n", "<!-- end -->\n"
RESULT = re.compile(r"^(ok|FAILED|skipped) +(\S+) \(", re.MULTILINE)
FORMS = ("process", "microvm")
Row = collections.namedtuple("Row", "library package program tests remarks")


def rows():
    """The rows of the list."""
    with open(LIST, encoding="utf-8") as file:
        lines = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
    return [Row(*line[:3], line[3].split(), *(line[4:] or [""])) for line in lines]


def version(package):
    """The upstream version of an installed package, or of one that set-up has unpacked."""
    words = ["dpkg-query", "-W", "-f", "${Version}", package]
    found = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    for folder in os.environ.get("OCAMLPATH", "").split(":") if not found else ():
        documents = os.path.join(folder.partition("/usr/lib/")[0], "usr/share/doc", package)
        path = os.path.join(documents, "changelog.Debian.gz")
        if os.path.exists(path):
            with gzip.open(path, "rt", encoding="utf-8") as file:
                found = re.search(r"\((\S+?)\)", file.readline())[1]
    found = re.sub(r"^\d+:|-[^-]*$", "", found)
    return re.sub(r".*\+really|\+(ds|dfsg).*", "", found)


@functools.cache
def size(program):
    """The kilobytes of the stripped image."""
    image = os.path.join(ROOT, "_build", "soil", "tests", "programs", program + ".exe")
    with tempfile.NamedTemporaryFile() as stripped:
        words = [SOIL, "strip", image, stripped.name]
        done = subprocess.run(words, capture_output=True, check=False)
        return str(os.path.getsize(stripped.name) // 1024) if done.returncode == 0 else ""


@functools.cache
def runs():
    """The names of the tests that a run without --long has."""
    return {each.name for each in collect() if not each.long}


def names(tests, form):
    """The names of a row's tests in a form; a test of the process alone has no form in its name."""
    found = [f"{test}-{form}" for test in tests] + (list(tests) if form == "process" else [])
    return [name for name in found if name in runs()]


def outcome(tests, form, results):
    """The worst of the results of a row's tests in a form."""
    found = {results[name] for name in names(tests, form)}
    return next((each for each in ("FAILED", "skipped", "ok") if each in found), "none")


def cells(row):
    """The cells that the list decides: library, remarks, tests."""
    tests = ", ".join(f"`{test.partition('/')[2]}`" for test in row.tests)
    return row.library, row.remarks, tests


def table(results):
    """The page's table."""
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    for row in rows():
        library, remarks, tests = cells(row)
        forms = [outcome(row.tests, form, results) for form in FORMS]
        kilobytes = size(row.program) if forms[1] == "ok" else ""
        words = [library, version(row.package), *forms, kilobytes, remarks, tests]
        lines.append("| " + " | ".join(words) + " |")
    return "\n".join(lines) + "\n"


def parts():
    """The page before, within and behind the table."""
    with open(PAGE, encoding="utf-8") as file:
        before, found, rest = file.read().partition(BEGIN)
    within, closed, behind = rest.partition(END)
    assert found and closed, f"{PAGE} lacks {BEGIN.strip()} or {END.strip()}: add them"
    return before, within, behind


def main():
    if sys.argv[1:] == ["--words"]:
        print(*sorted({test for row in rows() for test in row.tests}))
        return
    results = {name: result for result, name in RESULT.findall(sys.stdin.read())}
    wanted = {name for row in rows() for form in FORMS for name in names(row.tests, form)}
    if lacking := sorted(wanted - results.keys()):
        sys.exit(f"error: no result of {lacking[0]} and {len(lacking) - 1} others; run: {RUN}")
    before, _, behind = parts()
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(before + BEGIN + table(results) + END + behind)


if __name__ == "__main__":
    main()
