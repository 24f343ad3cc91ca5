#!/usr/bin/env python3
"""The notices in THIRD-PARTY-LICENSES for users' programs, and the rules for crates (deny.toml).

crates.py check    the notices are those of the crates, each under a licence of PREFERRED; cargo-deny,
                   where it is installed, checks every crate by deny.toml, and advisories if it can
                   fetch their database
crates.py write    writes the notices: those of crates follow the text at the head of the file

Nothing else needs the network.
"""

import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NOTICES = os.path.join(ROOT, "THIRD-PARTY-LICENSES")
# If a crate offers several licences, the first of these applies.
PREFERRED = [
    "MIT",
    "0BSD",
    "ISC",
    "Zlib",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "Apache-2.0",
    "MPL-2.0",
    "CDLA-Permissive-2.0",
]
# What users distribute: both forms of a program link the first package, each with its own feature;
# a disk has the loaders.
LINKED = (("soil-sys", "image"), ("soil-sys", "process"), ("loader", "uefi"), ("loader", "bios"))

# Ends the text in THIRD-PARTY-LICENSES that isn't made here.
MARK = "Crates\n======\n\n"


def cargo(*words):
    done = subprocess.run(["cargo", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(
            f"crates: cargo {words[0]} failed (cargo fetch --locked comes first):\n{done.stderr}"
        )
    return done.stdout


def packages():
    options = ["--all-features", "--filter-platform", "x86_64-unknown-linux-gnu"]
    text = cargo("metadata", "--format-version", "1", "--locked", "--offline", *options)
    return json.loads(text)["packages"]


def alternatives(expression):
    """The choices of a licence expression, each a list of licences that all apply."""
    # The older form has a slash in place of OR; parentheses occur only around an OR.
    grouped = re.fullmatch(r"\((.*)\) AND (.*)", expression)
    if grouped:
        return [choice + [grouped[2]] for choice in alternatives(grouped[1])]
    return [choice.split(" AND ") for choice in re.split(r" OR |/", expression)]


def linked():
    """Names and versions of the third-party crates that programs and loaders link."""
    found = set()
    for package, feature in LINKED:
        options = ["--locked", "--offline", "--features", feature]
        options += ["--edges", "normal,no-proc-macro", "--prefix", "none"]
        for line in cargo("tree", "--package", package, "--format", "{p}", *options).splitlines():
            name, version, *place = line.split()
            if not any(word.startswith("(/") for word in place):
                found.add((name, version.removeprefix("v")))
    return sorted(found)


def text_of(crate, mit):
    """The chosen licence, and its text in the crate, or `mit` where it has none."""
    choices = [
        choice
        for choice in alternatives(crate["license"])
        if all(each in PREFERRED for each in choice)
    ]
    if not choices:
        sys.exit(
            f"crates: no licence of {crate['name']} ({crate['license']}) is known to crates.py"
        )
    choice = min(choices, key=lambda choice: max(PREFERRED.index(each) for each in choice))
    folder = os.path.dirname(crate["manifest_path"])
    if os.path.isdir(os.path.join(folder, "LICENSES")):
        folder = os.path.join(folder, "LICENSES")
    names = sorted(os.listdir(folder))
    texts = []
    if len(choice) > 1:
        # The text of one refers to those of the others.
        for name in names:
            if re.match(r"(?i)licen[cs]e", name):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    texts.append(file.read().replace("\r\n", "\n").strip())
        return " AND ".join(choice), "\n\n".join(texts)
    for licence in choice:
        word = licence.split("-")[0].upper()
        own = [
            name
            for name in names
            if word in name.upper() and re.match(r"(?i)(licen[cs]e|copying|mit\.)", name)
        ]
        plain = [
            name for name in names if re.fullmatch(r"(?i)(licen[cs]e|copying)(\.txt|\.md)?", name)
        ]
        files = own or plain
        if files:
            with open(os.path.join(folder, files[0]), encoding="utf-8") as file:
                texts.append(file.read().replace("\r\n", "\n").strip())
        elif licence == "MIT":
            authors = ", ".join(re.sub(r" *<.*?>", "", author) for author in crate["authors"])
            texts.append(
                f"Copyright (c) {authors or 'the authors of ' + crate['name']}\n\n" + mit.strip()
            )
        else:
            sys.exit(f"crates: {crate['name']} has no text of {licence}")
    return " AND ".join(choice), "\n\n".join(texts)


def notices(head):
    """The whole file, with this text at its head."""
    mit = re.search(r"Permission is hereby granted.*?SOFTWARE\.\n", head, re.DOTALL)[0]
    known = {(crate["name"], crate["version"]): crate for crate in packages()}
    # Crates with the same text share it.
    texts = {}
    for key in linked():
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
    if subprocess.run(
        [*deny, "fetch", "db"], cwd=ROOT, capture_output=True, check=False
    ).returncode:
        print("left out: advisories: their database can't be fetched")
    else:
        checks.append("advisories")
    deny += ["--offline", "--locked", "check"]
    return subprocess.run([*deny, *checks], cwd=ROOT, check=False).returncode != 0


def main():
    if sys.argv[1:] not in (["check"], ["write"]):
        sys.exit(__doc__)
    with open(NOTICES, encoding="utf-8") as file:
        written = file.read()
    expected = notices(written.split(MARK)[0])
    if sys.argv[1] == "write":
        with open(NOTICES, "w", encoding="utf-8") as file:
            file.write(expected)
        return 0
    if stale := written != expected:
        print("crates: THIRD-PARTY-LICENSES has other crates: run  tools/setup/crates.py write")
    return 1 if denied() or stale else 0


if __name__ == "__main__":
    sys.exit(main())
