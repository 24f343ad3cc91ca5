#!/usr/bin/env python3
"""Soil's crates: the rules for them (deny.toml), and the notices for users' programs.

crates.py check    licences, sources and duplicates by deny.toml; THIRD-PARTY-LICENSES is up to
date; advisories with cargo-deny
crates.py write    writes THIRD-PARTY-LICENSES

cargo-deny isn't in Debian and would have to be compiled on each machine; its checks without the
database of advisories take a page of Python over `cargo metadata`, of both workspaces. An installed
`cargo deny` runs as well, with the advisories if it can fetch their database. Nothing else needs
the network.
"""

import json
import os
import re
import subprocess
import sys
import tomllib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NOTICES = os.path.join(ROOT, "THIRD-PARTY-LICENSES")
# Each has a Cargo.lock: Soil and soil-window.
WORKSPACES = ("", "tools/window")
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

HEADER = """\
Notices for what Soil links into programs
=========================================

Made by `tools/setup/crates.py write`; `make test` compares it. Soil itself is under the ISC licence (LICENSE). A program made with
Soil contains, as far as it uses them, parts of the crates below, of Rust's libraries, of OCaml's runtime and library, and in its
image form of musl. Other OCaml libraries that a program links have licences of their own. A disk's loaders contain `uefi` and `sha2`
with their dependencies.

OCaml's runtime system and standard library
-------------------------------------------

Copyright (C) 1996-2025 Institut National de Recherche en Informatique et en Automatique (INRIA) and others.
Under the GNU Lesser General Public License, version 2.1, with this exception:

  As a special exception to the GNU Lesser General Public License, you may link, statically or dynamically, a "work that uses the
  OCaml Core System" with a publicly distributed version of the OCaml Core System to produce an executable file containing portions
  of the OCaml Core System, and distribute that executable file under terms of your choice, without any of the additional
  requirements listed in clause 6 of the GNU Lesser General Public License. By "a publicly distributed version of the OCaml Core
  System", we mean either the unmodified OCaml Core System as distributed by INRIA, or a modified version of the OCaml Core System
  that is distributed under the conditions defined in clause 2 of the GNU Lesser General Public License. This exception does not
  however invalidate any other reasons why the executable file might be covered by the GNU Lesser General Public License.

libgcc (helper functions of the C compiler)
-------------------------------------------

Under the GNU General Public License, version 3, with the GCC Runtime Library Exception, version 3.1, which lets programs that a GCC
compiled carry it under terms of their own.

"""

MIT = """\
Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in
all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""

OTHERS = [
    ("musl (the C library of images)", "Copyright © 2005-2020 Rich Felker, et al.\n\n" + MIT),
    (
        "Rust's libraries core, alloc, std and compiler_builtins",
        "Copyright (c) The Rust Project Developers and contributors. Under MIT or Apache-2.0, "
        "here MIT:\n\n" + MIT,
    ),
]


def cargo(*words):
    done = subprocess.run(["cargo", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(
            f"crates: cargo {words[0]} failed (cargo fetch --locked comes first):\n{done.stderr}"
        )
    return done.stdout


def packages(folder):
    options = ["--all-features", "--filter-platform", "x86_64-unknown-linux-gnu"]
    options += ["--manifest-path", os.path.join(folder, "Cargo.toml")]
    text = cargo("metadata", "--format-version", "1", "--locked", "--offline", *options)
    return json.loads(text)["packages"]


def alternatives(expression):
    """The choices of a licence expression, each a list of licences that all apply."""
    choices = []
    # The older form has a slash in place of OR; parentheses occur only around an OR.
    grouped = re.fullmatch(r"\((.*)\) AND (.*)", expression)
    if grouped:
        return [choice + [grouped[2]] for choice in alternatives(grouped[1])]
    for choice in re.split(r" OR |/", expression):
        choices.append(choice.split(" AND "))
    return choices


def faults(crates, rules, lock):
    """Returns the violations of deny.toml, a line each."""
    licences = rules["licenses"]
    exceptions = {each["crate"]: each["allow"] for each in licences["exceptions"]}
    for crate in crates:
        name = f"{crate['name']} {crate['version']}"
        allowed = licences["allow"] + exceptions.get(crate["name"], [])
        expression = crate["license"]
        if not expression:
            yield f"{name} names no licence"
        elif not any(
            all(each in allowed for each in choice) for choice in alternatives(expression)
        ):
            yield f"{name} is under {expression}, which deny.toml doesn't allow"
    registries = {each["source"] for each in lock["package"] if "source" in each}
    if len(registries) > 1:
        yield f"crates come from several places: {', '.join(sorted(registries))}"
    skipped = [each["crate"].split("@") for each in rules["bans"]["skip"]]
    versions = {}
    for each in lock["package"]:
        name, version, source = each["name"], each["version"], each.get("source")
        if source and not source.startswith("registry+"):
            yield f"{name} {version} comes from {source}, not from the registry"
        if source and "checksum" not in each:
            yield f"{name} {version} has no checksum"
        if not any(
            name == crate and (version + ".").startswith(front + ".") for crate, front in skipped
        ):
            versions.setdefault(name, []).append(version)
    for name, found in versions.items():
        if len(found) > 1:
            yield f"{name} is there in versions {', '.join(found)}: make them one, or name one in deny.toml with the reason"


def linked():
    """Names and versions of the third-party crates that programs and loaders link."""
    found = set()
    for package, feature in LINKED:
        options = [
            "--locked",
            "--offline",
            "--features",
            feature,
            "--edges",
            "normal,no-proc-macro",
            "--prefix",
            "none",
        ]
        for line in cargo("tree", "--package", package, "--format", "{p}", *options).splitlines():
            name, version, *place = line.split()
            if not any(word.startswith("(/") for word in place):
                found.add((name, version.removeprefix("v")))
    return sorted(found)


def text_of(crate):
    """The chosen licence, and its text in the crate."""
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
                f"Copyright (c) {authors or 'the authors of ' + crate['name']}\n\n" + MIT.strip()
            )
        else:
            sys.exit(f"crates: {crate['name']} has no text of {licence}")
    return " AND ".join(choice), "\n\n".join(texts)


def notices(crates):
    known = {(crate["name"], crate["version"]): crate for crate in crates}
    # Crates with the same text share it.
    texts = {}
    for key in linked():
        licence, text = text_of(known[key])
        texts.setdefault((licence, text), []).append(known[key])
    parts = [HEADER]
    for title, text in OTHERS:
        parts.append(f"{title}\n{'-' * len(title)}\n\n{text}\n")
    for (licence, text), of in texts.items():
        title = ", ".join(f"{crate['name']} {crate['version']}" for crate in of)
        parts.append(f"{title} ({licence})\n{'-' * min(len(title) + len(licence) + 3, 120)}\n")
        if "MPL" in licence:
            parts.append(
                "Its source is the crate of this name and version in Rust's package registry.\n"
            )
        parts.append(f"\n{text}\n\n")
    return "".join(parts)


def advisories():
    """Returns whether an installed cargo-deny has found something."""
    if (
        subprocess.run(["cargo", "deny", "--version"], capture_output=True, check=False).returncode
        != 0
    ):
        print(
            "advisories: not looked at, because there is no cargo-deny (cargo install --locked "
            "cargo-deny)"
        )
        return False
    if (
        subprocess.run(
            ["cargo", "deny", "fetch", "db"], cwd=ROOT, capture_output=True, check=False
        ).returncode
        != 0
    ):
        print("advisories: not looked at, because their database can't be fetched")
        checks = ["licenses", "bans", "sources"]
    else:
        checks = ["advisories", "licenses", "bans", "sources"]
    failed = False
    for folder in WORKSPACES:
        manifest = ["--manifest-path", os.path.join(folder, "Cargo.toml")]
        words = ["check", "--config", os.path.join(ROOT, "deny.toml"), "--disable-fetch", *checks]
        done = subprocess.run(["cargo", "deny", *manifest, *words], cwd=ROOT, check=False)
        failed |= done.returncode != 0
    return failed


def main():
    crates = packages("")
    if sys.argv[1:] == ["write"]:
        with open(NOTICES, "w", encoding="utf-8") as file:
            file.write(notices(crates))
        return
    if sys.argv[1:] != ["check"]:
        sys.exit(__doc__)
    with open(os.path.join(ROOT, "deny.toml"), "rb") as file:
        rules = tomllib.load(file)
    found = []
    for folder in WORKSPACES:
        with open(os.path.join(ROOT, folder, "Cargo.lock"), "rb") as file:
            lock = tomllib.load(file)
        found += faults(crates if folder == "" else packages(folder), rules, lock)
    try:
        with open(NOTICES, encoding="utf-8") as file:
            written = file.read()
    except FileNotFoundError:
        written = ""
    if written != notices(crates):
        found.append(
            "THIRD-PARTY-LICENSES isn't what the crates say: run  tools/setup/crates.py write"
        )
    for line in found:
        print("crates:", line)
    sys.exit(1 if found or advisories() else 0)


if __name__ == "__main__":
    main()
