#!/usr/bin/env python3
"""The notices in THIRD-PARTY-LICENSES for users' programs, and the rules for crates (deny.toml).

crates.py check    the notices are those of the crates, each under a licence of PREFERRED; cargo-deny,
                   where it is installed, checks every crate by deny.toml, and advisories if it can
                   fetch their database
crates.py write    writes the notices: those of crates follow the text at the head of the file

Nothing else needs the network.
"""

import json
import pathlib
import re
import subprocess
import sys

import archive

NOTICES = archive.ROOT / "THIRD-PARTY-LICENSES"
# If a crate offers several licences, the first of these applies.
PREFERRED = ["MIT", "0BSD", "ISC", "Zlib", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0"]
PREFERRED += ["MPL-2.0", "CDLA-Permissive-2.0"]
LICENCE = re.compile(r"(?i)(licen[cs]e|copying|mit\.)")
PLAIN = re.compile(r"(?i)(licen[cs]e|copying)(\.txt|\.md)?")
# What users distribute: both forms of a program link the first package, each with its own feature;
# a disk has the loaders.
LINKED = (("soil-sys", "image"), ("soil-sys", "process"), ("loader", "uefi"), ("loader", "bios"))

# Ends the text in THIRD-PARTY-LICENSES that isn't made here.
MARK = "Crates\n======\n\n"


def packages():
    options = ["--all-features", "--filter-platform", archive.PLATFORM]
    words = ["cargo", "metadata", "--format-version=1", "--locked", "--offline", *options]
    return json.loads(archive.output(*words))["packages"]


def alternatives(expression):
    """The choices of a licence expression, each a list of licences that all apply."""
    # The older form has a slash in place of OR; parentheses occur only around an OR.
    grouped = re.fullmatch(r"\((.*)\) AND (.*)", expression)
    if grouped:
        return [choice + [grouped[2]] for choice in alternatives(grouped[1])]
    return [choice.split(" AND ") for choice in re.split(r" OR |/", expression)]


def text_of(crate, mit):
    """The chosen licence, and its text in the crate, or `mit` where it has none."""
    rank = {licence: number for number, licence in enumerate(PREFERRED)}
    choices = [choice for choice in alternatives(crate["license"]) if rank.keys() >= {*choice}]
    if not choices:
        sys.exit(
            f"crates: no licence of {crate['name']} ({crate['license']}) is known to crates.py"
        )
    choice = min(choices, key=lambda choice: max(rank[each] for each in choice))
    folder = pathlib.Path(crate["manifest_path"]).parent
    if (folder / "LICENSES").is_dir():
        folder /= "LICENSES"
    files = sorted(file for file in folder.iterdir() if LICENCE.match(file.name))
    if len(choice) == 1:
        word = choice[0].split("-")[0].upper()
        own = [file for file in files if word in file.name.upper()]
        plain = [file for file in files if PLAIN.fullmatch(file.name)]
        files = (own or plain)[:1]
    # The text of one of several licences refers to the others.
    texts = [file.read_text("utf-8").replace("\r\n", "\n").strip() for file in files]
    if not texts and choice == ["MIT"]:
        authors = ", ".join(re.sub(r" *<.*?>", "", author) for author in crate["authors"])
        texts = [f"Copyright (c) {authors or 'the authors of ' + crate['name']}\n\n{mit.strip()}"]
    if not texts:
        sys.exit(f"crates: {crate['name']} has no text of {' AND '.join(choice)}")
    return " AND ".join(choice), "\n\n".join(texts)


def notices(head):
    """The whole file, with this text at its head."""
    mit = re.search(r"Permission is hereby granted.*?SOFTWARE\.\n", head, re.DOTALL)[0]
    known = {(crate["name"], crate["version"]): crate for crate in packages()}
    # Crates with the same text share it.
    texts = {}
    for key in sorted(archive.compiled(LINKED, "normal,no-proc-macro")):
        texts.setdefault(text_of(known[key], mit), []).append(known[key])
    parts = [head, MARK]
    for (licence, text), of in texts.items():
        title = ", ".join(f"{crate['name']} {crate['version']}" for crate in of)
        parts.append(f"{title} ({licence})\n{'-' * min(len(title) + len(licence) + 3, 120)}\n")
        if "MPL" in licence:
            parts.append(
                "Its source is the crate of this name and version in Rust's package registry.\n"
            )
        parts.append(f"\n{text}\n\n")
    return "".join(parts)


def denied():
    """Whether an installed cargo-deny finds a violation of deny.toml."""
    deny = ["cargo", "deny"]
    if subprocess.run([*deny, "--version"], capture_output=True, check=False).returncode:
        print("left out: deny.toml: cargo-deny is missing; install it: cargo install cargo-deny")
        return False
    checks = ["licenses", "bans", "sources"]
    fetch = [*deny, "fetch", "db"]
    if subprocess.run(fetch, cwd=archive.ROOT, capture_output=True, check=False).returncode:
        print("left out: advisories: their database can't be fetched")
    else:
        checks.append("advisories")
    deny += ["--offline", "--locked", "check"]
    return subprocess.run([*deny, *checks], cwd=archive.ROOT, check=False).returncode != 0


def main():
    if sys.argv[1:] not in (["check"], ["write"]):
        sys.exit(__doc__)
    written = NOTICES.read_text("utf-8")
    expected = notices(written.split(MARK)[0])
    if sys.argv[1] == "write":
        NOTICES.write_text(expected, "utf-8")
        return 0
    if stale := written != expected:
        print("crates: THIRD-PARTY-LICENSES has other crates: run  tools/setup/crates.py write")
    return 1 if denied() or stale else 0


if __name__ == "__main__":
    sys.exit(main())
