#!/usr/bin/env python3
"""The release archive, which builds without network, and its packages for opam.

archive.py FOLDER [URL]    writes FOLDER/soil-VERSION.tbz, and FOLDER/packages and FOLDER/repo: an
opam repository whose packages are built from that archive. URL is where the archive will be
downloaded from; without it the packages name the file itself.

Prebuilt archives in FOLDER (prebuilt.py) are extra sources of the package soil, from beside URL: on
their processors it is built without Rust, and doesn't ask for Rust's packages.

The archive has the files of the repository and, in vendor/, the crates of Cargo.lock. Cargo wants a
manifest for each crate in the lock file. For crates outside every Linux build (those of Windows,
and those only for tests) the archive has only the manifest: their code would make it three times as
large. The crates come from cargo's cache: `cargo fetch --locked` fills it.
"""

import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The packages that the dune files build with cargo for an installation. Listed separately, as they
# are built: a joint build would unite their features.
BUILT = (
    ("soil-sys", "process"),
    ("soil-sys", "image"),
    ("soil-archive", ""),
    ("soil-tools", ""),
    ("loader", "bios"),
    ("loader", "uefi"),
)
PLATFORM = "x86_64-unknown-linux-gnu"
# Processors of prebuilt archives, as opam names them.
OPAM_NAMES = {"x86_64": "x86_64", "aarch64": "arm64"}
# A dependency on Rust's packages of a system, and its condition.
RUST = re.compile(r'(\["rustc[^\]]*\]\s*)\{(.*?)\}', re.DOTALL)
# Folders of a crate that no build reads.
UNREAD = ("benches", "tests")
CONFIGURATION = """\
[source.crates-io]
replace-with = "vendor"

[source.vendor]
directory = "vendor"

[net]
offline = true
"""


def output(*words):
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(words)} failed (needs cargo fetch --locked):\n{done.stderr}")
    return done.stdout


def version():
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text("utf-8"))
    return manifest["workspace"]["package"]["version"]


def compiled(packages=BUILT, edges="normal,build"):
    """Names and versions of the third-party crates on these edges of the packages' graph, on Linux."""
    crates = set()
    for package, feature in packages:
        words = ["--locked", "--offline", "--edges", edges, "--prefix", "none", "--format", "{p}"]
        words += ["--target", PLATFORM, "--package", package, "--features", feature]
        for line in output("cargo", "tree", *words).splitlines():
            name, number, *place = line.split()
            # A crate of this repository has its path.
            if not any(word.startswith("(/") for word in place):
                crates.add((name, number.removeprefix("v")))
    return crates


def vendor(folder):
    """Writes the crates to `folder`, named as in cargo's cache, which keeps the paths in programs
    the same."""
    output("cargo", "vendor", "--quiet", "--locked", "--offline", "--versioned-dirs", str(folder))
    built = {"-".join(crate) for crate in compiled()}
    for crate in folder.iterdir():
        filter_crate(crate, whole=crate.name in built)


def filter_crate(folder, whole):
    """Removes the crate's files that no build reads, and their names from its list of checksums."""
    path = folder / ".cargo-checksum.json"
    checksums = json.loads(path.read_text("utf-8"))
    kept = {
        name: checksum
        for name, checksum in checksums["files"].items()
        if name == "Cargo.toml" or whole and name.split("/")[0] not in UNREAD
    }
    emptied = () if whole else required(folder)
    for name in checksums["files"].keys() - kept.keys():
        if name in emptied:
            os.truncate(folder / name, 0)
        else:
            (folder / name).unlink()
    path.write_text(json.dumps({**checksums, "files": kept}), "utf-8")


def required(folder):
    """The files without which cargo refuses a crate's manifest."""
    manifest = tomllib.loads((folder / "Cargo.toml").read_text("utf-8"))
    library = manifest.get("lib", {}).get("path", "src/lib.rs")
    return library, manifest["package"].get("build") or "build.rs"


def write_archive(path, name):
    """Writes the archive, the same bytes for the same files and commit."""
    date = int(output("git", "log", "-1", "--format=%ct"))

    def plain(entry):
        entry.mtime = date
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o755 if entry.mode & 0o100 else 0o644
        return entry

    with tempfile.TemporaryDirectory() as scratch, tarfile.open(path, "w:bz2") as archive:
        for file in sorted(output("git", "ls-files", "-z").split("\0")):
            if file:
                archive.add(ROOT / file, f"{name}/{file}", filter=plain)
        vendor(pathlib.Path(scratch, "vendor"))
        for file in sorted(pathlib.Path(scratch).rglob("*")):
            if file.is_file():
                archive.add(file, f"{name}/{file.relative_to(scratch)}", filter=plain)
        entry = plain(tarfile.TarInfo(f"{name}/.cargo/config.toml"))
        entry.size = len(CONFIGURATION)
        archive.addfile(entry, io.BytesIO(CONFIGURATION.encode()))


def with_prebuilt(text, archives, url):
    """The opam file `text` with prebuilt archives, which are beside `url`."""
    if not archives:
        return text
    names = [OPAM_NAMES[path.name.removesuffix(".tar.xz").rpartition("-")[2]] for path in archives]
    others = " & ".join(f'arch != "{name}"' for name in names)
    text = RUST.sub(lambda found: f"{found[1]}{{{others} & ({found[2]})}}", text)
    text = text.replace("depexts: [\n", 'depexts: [\n  ["xz-utils"] {os-family = "debian"}\n', 1)
    for path in archives:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        place = f"{url.rpartition('/')[0]}/{path.name}"
        source = f'  src: "{place}"\n  checksum: "sha256={digest}"\n'
        text += f'extra-source "{path.name}" {{\n{source}}}\n'
    return text


def write_packages(folder, archive, url, number):
    """Writes the opam repository: the opam files of this repository with the archive's address."""
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    shutil.rmtree(folder / "packages", ignore_errors=True)
    for file in sorted(ROOT.glob("opam/*.opam")):
        text = file.read_text("utf-8")
        # A package without a build needs no source.
        if "dune" in text.split("build:")[-1]:
            text += f'url {{\n  src: "{url}"\n  checksum: "sha256={digest}"\n}}\n'
        if file.stem == "soil":
            prebuilt = sorted(folder.glob(f"soil-{number}-prebuilt-*.tar.xz"))
            text = with_prebuilt(text, prebuilt, url)
        place = folder / "packages" / file.stem / f"{file.stem}.{number}"
        place.mkdir(parents=True)
        (place / "opam").write_text(text, "utf-8")
    (folder / "repo").write_text('opam-version: "2.0"\n', "utf-8")


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    folder = pathlib.Path(os.path.abspath(sys.argv[1]))
    folder.mkdir(parents=True, exist_ok=True)
    number = version()
    archive = folder / f"soil-{number}.tbz"
    write_archive(archive, f"soil-{number}")
    url = sys.argv[2] if len(sys.argv) == 3 else f"file://{archive}"
    write_packages(folder, archive, url, number)
    print(archive)


if __name__ == "__main__":
    main()
