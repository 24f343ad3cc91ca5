"""Source packages of installed Debian packages, for tests from other projects."""

import subprocess
import sys


def installed(package):
    """The version of the source package that built an installed package, or nothing."""
    words = ["dpkg-query", "-W", "-f", "${source:Version}", package]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def archive(source, version, cache, variable, others=False):
    """The `.orig.tar` of this version, in `cache`: from apt's archives, without changing apt's
    configuration; apt verifies its checksum. If they lack it, the tar of another version if
    `others`; else exits with an error that names the environment variable for a folder with the
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
        # Only the upstream archive matters; a mirror that lacks another file will do.
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
    """Options for apt to keep separate lists in `cache`, which include sources."""
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
    """The versions in the lists, newest first."""
    shown = subprocess.run(
        ["apt-cache", *options, "showsrc", source], capture_output=True, text=True, check=False
    ).stdout
    versions = {line.split()[1] for line in shown.splitlines() if line.startswith("Version: ")}
    return sorted(versions, reverse=True)
