#!/usr/bin/env python3
"""The prebuilt archive of a processor, with which Soil is built without Rust.

prebuilt.py FOLDER [aarch64] [--incomplete]    writes FOLDER/soil-VERSION-prebuilt-PROCESSOR.tar.xz

The archive has a folder prebuilt/PROCESSOR, to be unpacked in the source folder: the files that
cargo builds for an installation (FILES), the list of their sources, which tools/setup/prebuilt.sh
compares, and the compilers' versions. Equal sources and compilers give an equal archive, in any
folder. The files are those of dune's default context, which builds them first, for this machine's
processor; with aarch64 an x86-64 machine compiles them for arm64.

--incomplete: without the compiler for another processor its loader is an empty file, and packing is
fast. Only tests accept that; a release has all loaders.
"""

import io
import lzma
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tarfile

import archive

# What cargo builds for an installation, in the context default.
FILES = (
    "soil-sys/libsoil_sys.a",
    "kernel/libsoil_image.a",
    "platform/sim/preload/libsoil_preload.so",
    "tools/soil",
    "tools/soil-cc",
    "loader/soil-uefi.efi",
    "loader/soil-uefi-aarch64.efi",
    "loader/soil-bios-mbr.bin",
    "loader/soil-bios.bin",
)
SOURCES = "rust-sources.sha256"
# Only PCs have a BIOS.
EMPTY = {"aarch64": ("loader/soil-bios-mbr.bin", "loader/soil-bios.bin")}
# The oldest glibc that the files run with, as in prebuilt.sh: what is linked on a system with a later
# one needs at least this. Debian 12 has 2.36.
GLIBC = (2, 34)
# 1980, the earliest time that all formats of archives have.
TIME = 315532800


def build(words):
    # The root is named, since an outer folder may have a workspace of its own.
    done = subprocess.run(["dune", "build", "--root", ".", *words], cwd=archive.ROOT, check=False)
    if done.returncode != 0:
        sys.exit("error: dune could not build what the archive contains: see its messages above")


def output(*words):
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def cross(processor):
    """Builds the files for another processor, by the words of dune's rules. Returns their folder."""
    prefix, target = f"{processor}-linux-gnu-", f"{processor}-unknown-linux-gnu"
    missing = output("sh", archive.ROOT / "loader/cross.sh", processor).split()
    if missing:
        sys.exit(
            f"error: compiling for {processor} takes what is missing here: {' '.join(missing)}: run  "
            f"tools/setup/setup.sh ensure {processor}"
        )
    sources, made = archive.ROOT / "_build/default", archive.ROOT / "target"
    folder = made / "prebuilt" / processor
    linker = f"CARGO_TARGET_{target.upper().replace('-', '_')}_LINKER"
    environment = {**os.environ, linker: f"{prefix}gcc"}

    def run(*words):
        if subprocess.run(words, cwd=sources, env=environment, check=False).returncode != 0:
            sys.exit(f"error: compiling for {processor} failed: see the messages above")

    def cargo(command, place, *words):
        words = ("--quiet", "--locked", f"--target-dir={made / place}", *words)
        run("sh", "kernel/cargo.sh", command, *words)

    def crate(place, profile, *words):
        """Returns the folder of what cargo built."""
        cargo("build", place, f"--target={target}", f"--profile={profile}", *words)
        return made / place / target / profile

    def shrink(library, file, *kept):
        cargo("run", "process", "--package=soil-archive", "--", library, folder / file, *kept)

    def names(file):
        return (sources / "libc-compat" / file).read_text("utf-8").split()

    for file in FILES:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        if file.startswith("loader/"):
            shutil.copyfile(sources / file, folder / file)
    for file in EMPTY[processor]:
        (folder / file).write_bytes(b"")
    built = crate("process", "process", "--package=soil-sys", "--features=process")
    shrink(built / "libsoil_sys.a", "soil-sys/libsoil_sys.a", "soil_*")
    crate("process", "process", "--package=preload")
    preload = built / "libsoil_preload.so"
    run(
        f"{prefix}objcopy", "--strip-debug", preload, folder / "platform/sim/preload" / preload.name
    )
    built = crate("image", "release", "--package=soil-sys", "--features=image")
    exports = names("exports") + names(f"exports.{archive.OPAM_NAMES[processor]}")
    shrink(built / "libsoil_sys.a", "kernel/libsoil_image.a", *exports)
    built = crate("tools", "tools", "--package=soil-tools")
    for name in ("soil", "soil-cc"):
        shutil.copy(built / name, folder / "tools")
    return folder


def check_glibc(path):
    """A program that was linked on a newer system may ask for that one's glibc."""
    found = re.findall(r"Name: GLIBC_(\d+)\.(\d+)", output("readelf", "-VW", path))
    newest = max((tuple(map(int, version)) for version in found), default=(0, 0))
    if newest > GLIBC:
        sys.exit(
            "error: {} needs glibc {}.{}, and the archive is for {}.{}: have kernel/cargo.sh link "
            "without the functions that  objdump -T  shows with that version".format(
                path, *newest, *GLIBC
            )
        )


def contents(folder, sources, processor, incomplete):
    """Yields the name, the bytes and whether it is a program, of each file of the archive."""
    for file in FILES:
        path = folder / file
        data = path.read_bytes()
        if not data and not incomplete and file not in EMPTY.get(processor, ()):
            sys.exit(
                f"error: {file} is empty, since its compiler is missing: install what "
                f"`sh loader/cross.sh x86_64 aarch64` names and repeat the command"
            )
        if file.startswith("tools/") or file.endswith(".so"):
            check_glibc(path)
        yield path.name, data, os.access(path, os.X_OK)
    # Each version of dune has its own order and its own name for files in the root.
    lines = sources.read_text("utf-8").replace("  ./", "  ").splitlines(keepends=True)
    yield "sources.sha256", "".join(sorted(lines)).encode(), False
    prefix = "" if processor == platform.machine() else f"{processor}-linux-gnu-"
    compilers = ("rustc", f"{prefix}gcc", f"{prefix}ld")
    versions = [output(name, "--version").splitlines()[0] for name in compilers]
    yield "compilers", "".join(f"{line}\n" for line in versions).encode(), False


def write(folder, processor, incomplete=False):
    """Writes the archive into `folder`. Returns its path."""
    taken = archive.ROOT / "prebuilt" / platform.machine()
    if taken.exists():
        sys.exit(f"error: {taken} exists, from which dune copies: remove it, to build with cargo")
    default = archive.ROOT / "_build/default"
    # A disk's loaders are the same for all processors.
    own = processor == platform.machine()
    files = [file for file in FILES if own or file.startswith("loader/")]
    build(f"_build/default/{file}" for file in (*files, SOURCES))
    built = default if own else cross(processor)
    path = folder / f"soil-{archive.version()}-prebuilt-{processor}.tar.xz"
    # One thread and a fixed level: the same bytes by the same version of xz.
    with (
        lzma.open(path, "wb", preset=0 if incomplete else 6) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as packed,
    ):
        for name, data, program in sorted(
            contents(built, default / SOURCES, processor, incomplete)
        ):
            entry = tarfile.TarInfo(f"prebuilt/{processor}/{name}")
            entry.size = len(data)
            entry.mtime = TIME
            entry.mode = 0o755 if program else 0o644
            packed.addfile(entry, io.BytesIO(data))
    return path


def main():
    words = [word for word in sys.argv[1:] if word != "--incomplete"]
    processor = words[1] if len(words) == 2 else platform.machine()
    if (
        len(words) not in (1, 2)
        or words[0].startswith("-")
        or processor not in (platform.machine(), "aarch64")
    ):
        sys.exit(__doc__)
    folder = pathlib.Path(os.path.abspath(words[0]))
    folder.mkdir(parents=True, exist_ok=True)
    print(write(folder, processor, "--incomplete" in sys.argv))


if __name__ == "__main__":
    main()
