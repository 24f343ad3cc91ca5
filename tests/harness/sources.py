"""Debian's source packages of what is installed, for tests that are somebody else's."""

import subprocess
import sys


def installed(package):
    """The version of the source package that an installed package was built from, or nothing."""
    words = ["dpkg-query", "-W", "-f", "${source:Version}", package]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def archive(source, version, cache, variable, others=False):
    """The `.orig.tar` of this version, in `cache`: from the archives that apt knows, without
    touching its configuration; apt checks its sum. Where they lack it, that of another version if
    `others`; else the end, which names the environment variable that gives a folder with the
    sources."""
    upstream = version.rpartition("-")[0].rpartition(":")[2]
    pattern = f"{source}_*.orig.tar.*" if others else f"{source}_{upstream}.orig.tar.*"
    found = next(cache.glob(pattern), None)
    if found:
        return found
    cache.mkdir(parents=True, exist_ok=True)
    options = own_lists(cache)
    subprocess.run(["apt-get", "-q", *options, "update"], check=True, stdout=subprocess.DEVNULL)
    for each in [version, *(known(source, options) if others else [])]:
        # Only the upstream archive is wanted; a mirror that lacks another file is good enough.
        result = subprocess.run(
            ["apt-get", "-q", *options, "source", "--download-only", f"{source}={each}"],
            check=False,
            cwd=cache,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        found = next(cache.glob(pattern), None)
        if found:
            return found
    sys.exit(
        f"the source of {source} {version} can't be fetched ({variable} names a folder that "
        f"has it):\n{result.stderr}"
    )


def own_lists(cache):
    """Options of apt for lists of its own in `cache`, which have the sources."""
    words = ["--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)", "Created-By: Packages"]
    targets = subprocess.run(
        ["apt-get", "indextargets", *words], capture_output=True, text=True, check=True
    ).stdout.split("\n")
    lines = sorted(
        {
            line
            for line in targets
            if line.endswith(" main") and ("debian.org" in line or "/debian" in line)
        }
    )
    lists = cache / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    sources = cache / "sources.list"
    sources.write_text("".join(f"deb-src {line}\n" for line in lines))
    return [
        f"-oDir::Etc::SourceList={sources}",
        "-oDir::Etc::SourceParts=/dev/null",
        f"-oDir::State::Lists={lists}",
    ]


def known(source, options):
    """The versions in the lists, the newest first."""
    shown = subprocess.run(
        ["apt-cache", *options, "showsrc", source], capture_output=True, text=True, check=False
    ).stdout
    versions = {line.split()[1] for line in shown.splitlines() if line.startswith("Version: ")}
    return sorted(versions, reverse=True)
