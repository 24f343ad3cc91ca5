"""The table of docs/libraries.md agrees with tests/libraries.tsv, and the list with the programs.

Versions, results and sizes are those of the run that wrote the table (tests/libraries.py)."""

import os
import re

import libraries
from harness.context import ROOT
from harness.runner import collect, test

# Debian 13 has no packages of these or of their drivers.
ABSENT = {"caqti", "domainslib", "eio_main", "postgresql"}
PROGRAMS = os.path.join(ROOT, "tests", "programs")


@test()
def the_table_of_libraries(context):
    """docs/libraries.md has each row of tests/libraries.tsv, with its remarks and tests. Each form
    that has a test has passed it; those of Debian testing's libraries may be left out."""
    lines = libraries.parts()[1].splitlines()
    assert lines[0].strip("| ").split(" | ") == libraries.HEAD, lines[0]
    found = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]
    wanted = [libraries.cells(row) for row in libraries.rows()]
    assert [(cells[0], cells[5], cells[6]) for cells in found] == wanted, (
        f"docs/libraries.md differs from tests/libraries.tsv; run: {libraries.RUN}"
    )
    for row, cells in zip(libraries.rows(), found, strict=True):
        for form, result in zip(libraries.FORMS, cells[2:4], strict=True):
            allowed = {"ok"} if libraries.names(row.tests, form) else {"none"}
            if "ok" in allowed and row.library in ABSENT:
                allowed.add("skipped")
            assert result in allowed, f"{row.library}: the {form} form is {result}"
    assert len(found) >= 60, f"{len(found)} libraries"


@test()
def the_list_of_libraries(context):
    """tests/libraries.tsv is in order, names tests and programs that exist, and each program of
    tests/programs/libraries."""
    rows = libraries.rows()
    names = [row.library for row in rows]
    assert names == sorted(names, key=str.lower), "the list isn't in alphabetical order"
    assert len(names) == len(set(names)), "a library is listed twice"
    known = {each.name for each in collect()}
    for row in rows:
        for name in row.tests:
            forms = {name, name + "-process", name + "-microvm"}
            assert forms & known, f"{row.library}: no test {name}"
        sources = [f"{PROGRAMS}/{row.program}{end}" for end in (".ml", ".installed.ml")]
        assert any(map(os.path.exists, sources)), f"{row.library}: no program {row.program}"
    with open(f"{PROGRAMS}/libraries/dune", encoding="utf-8") as file:
        names = re.findall(r"\(names? ([^)]*)\)", file.read())
        built = {name for each in names for name in each.split()}
    # Parts of other programs, and names of glibc.
    others = {"glibc", "glibc_names", "bindings", "generate", "generated_stubs", "database_kills"}
    unlisted = built - others - {os.path.basename(row.program) for row in rows}
    assert not unlisted, f"programs without a library in the list: {sorted(unlisted)}"
