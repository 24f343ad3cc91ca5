#!/usr/bin/env python3
"""Runs programs of the OCaml compiler's own test suite as images.

A program counts if it is one file, runs by itself, and passes as a Linux process; then it has to
print the same and end with the same status as an image. What is left out is in skips.txt with its
reason. The sources are those of Debian's source package of the compiler in use; OCAML_SOURCE names
a folder that has them already.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from harness.machine import jobs  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "target" / "ocaml-suite"
# The short run has every SHORT-th program.
SHORT = 12
PROCESS_SECONDS = 30
# An emulated machine is twenty times slower than the host, which may be slow itself, or have more
# to do.
IMAGE_SECONDS = 1200
# One of them keeps 400 MB.
MEMORY = "1G"

# Words of a TEST block that show that the program isn't a single, self-contained file.
NOT_ALONE = re.compile(
    r"\b(modules|readonly_files|all_modules|script|plugins|include|libraries|program|ocamlopt_byte_exit_status|subdirectories)\b\s*="
    r"|\bexpect;|\btoplevel|include "
    r"(systhreads|str|dynlink|runtime_events|ocaml|testing)|check-ocamlopt|ocamldoc|"
    r"ocamlc\.byte;\s*check-ocamlc|setup-ocaml.*-exit|bytecode;\s*\*/|frame_pointers|\bcodegen\b|\basmgen\b"
)
# The files that link and run images. They are copied first, as a concurrent build may remove them
# for a moment.
TOOLS = [
    "_build/default/tools/soil",
    "_build/default/tools/soil-cc",
    "_build/soil/kernel/libsoil_image.a",
]
# Things an image doesn't have, with the reason.
FEATURES = [
    (r"\bDomain\s*\.|\bopen Domain\b", "domains"),
    (r"\bThread\s*\.|\bEvent\s*\.", "threads"),
    (
        r"\b(fork|create_process|open_process\w*|execv\w*|Unix\.system|Sys\.command|waitpid)\b",
        "processes",
    ),
    (r"\b(socket|socketpair|open_connection|establish_server)\b", "sockets (Unix)"),
    (r"\b(alarm|setitimer|ITIMER_\w+)\b", "timers that send signals"),
    (r"Dynlink\.", "loading of code"),
]


def source():
    """The folder of the compiler's sources; fetched with apt where it isn't there yet."""
    named = os.environ.get("OCAML_SOURCE")
    if named:
        return pathlib.Path(named)
    version = subprocess.run(
        ["ocamlfind", "ocamlopt", "-version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    cache = ROOT / "target" / "ocaml-source"
    folder = cache / f"ocaml-{version}"
    if (folder / "testsuite").is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    archive = next(cache.glob(f"ocaml_{version}.orig.tar.*"), None) or fetch(cache, version)
    folder.mkdir(exist_ok=True)
    subprocess.run(["tar", "-xf", archive, "-C", folder, "--strip-components=1"], check=True)
    return folder


def fetch(cache, version):
    """Downloads the source package, from the archives that apt knows, without touching its
    configuration."""
    package = subprocess.run(
        ["dpkg-query", "-W", "-f", "${source:Version}", "ocaml-nox"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    if not package.startswith(version):
        sys.exit(
            f"the compiler ({version}) isn't Debian's: name the folder of its sources in "
            "OCAML_SOURCE"
        )
    targets = subprocess.run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI) $(CODENAME) $(COMPONENT)",
            "Created-By: Packages",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    lines = sorted(
        {
            line
            for line in targets
            if line.endswith(" main") and "debian.org" in line or "/debian" in line
        }
    )
    lists = cache / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    sources = cache / "sources.list"
    sources.write_text("".join(f"deb-src {line}\n" for line in lines))
    options = [
        f"-oDir::Etc::SourceList={sources}",
        "-oDir::Etc::SourceParts=/dev/null",
        f"-oDir::State::Lists={lists}",
    ]
    subprocess.run(["apt-get", "-q", *options, "update"], check=True, stdout=subprocess.DEVNULL)
    # Of the package's files only the compiler's own archive is wanted; a mirror that lacks another
    # one is good enough.
    result = subprocess.run(
        ["apt-get", "-q", *options, "source", "--download-only", f"ocaml={package}"],
        check=False,
        cwd=cache,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    archive = next(cache.glob(f"ocaml_{version}.orig.tar.*"), None)
    if archive is None:
        sys.exit(
            f"the source of ocaml {package} can't be fetched (OCAML_SOURCE names a folder that "
            f"has it):\n{result.stderr}"
        )
    return archive


def skips():
    """Path -> reason, from skips.txt."""
    lines = (HERE / "skips.txt").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines if line and not line.startswith("#"))
    return {path.strip(): reason.strip() for path, reason in pairs}


def candidates(tests):
    """(path, reason to leave it out or None), for all single-file programs that would run."""
    for path in sorted(tests.rglob("*.ml")):
        text = path.read_text(errors="replace")
        block = re.match(r"\s*\(\*\s*TEST(.*?)\*\)", text, re.S)
        if not block or NOT_ALONE.search(block.group(1)):
            continue
        feature = next((reason for pattern, reason in FEATURES if re.search(pattern, text)), None)
        yield path, feature


class Program:
    """One program of the suite."""

    def __init__(self, path, tests):
        self.path = path
        self.name = str(path.relative_to(tests))
        self.folder = WORK / self.name.replace("/", "--").removesuffix(".ml")
        self.form = {form: self.folder / f"{form}.exe" for form in ("process", "image")}

    def build(self, form):
        """Compiles one form; whether that worked."""
        self.folder.mkdir(parents=True, exist_ok=True)
        source = self.folder / self.path.name
        shutil.copyfile(self.path, source)
        link = ["-cc", str(WORK / "soil-cc"), "-ccopt", str(WORK / "libsoil_image.a")]
        flags = re.search(
            r"^\s*flags\s*\+?=\s*\"(.*?)\"", self.path.read_text(errors="replace"), re.M
        )
        words = flags.group(1).split() if flags else []
        if re.search(r"\binclude unix|\bUnix\s*\.", self.path.read_text(errors="replace")):
            words += ["-package", "unix", "-linkpkg"]
        command = [
            "ocamlfind",
            "ocamlopt",
            "-w",
            "-a",
            "-g",
            *words,
            *(link if form == "image" else []),
            source.name,
            "-o",
            self.form[form].name,
        ]
        try:
            result = subprocess.run(
                command,
                cwd=self.folder,
                capture_output=True,
                text=True,
                timeout=120,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            return False
        self.complaint = result.stdout + result.stderr
        return result.returncode == 0 and self.form[form].exists()

    def run(self, form):
        """(status, what it printed), or None when it took too long."""
        executable = str(self.form[form])
        if form == "process":
            command, limit = [executable], PROCESS_SECONDS
        else:
            command, limit = (
                [str(WORK / "soil"), "run", executable, "--mem", MEMORY, "--net", "none"],
                IMAGE_SECONDS,
            )
        # Where it prints its own name it is to be the same name.
        environment = dict(os.environ, SOIL_ARGV0=str(self.form["process"]))
        try:
            result = subprocess.run(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=limit,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            return None
        return result.returncode, result.stdout

    def passes_as_process(self):
        """Whether the suite itself would call it passed, and twice the same."""
        if not self.build("process"):
            return None
        first = self.run("process")
        reference = self.path.with_suffix(".reference")
        if reference.exists() and first and first[1] != reference.read_bytes():
            return None
        if first is None or first[0] < 0 or first[0] == 2 or self.run("process") != first:
            return None
        return first

    def check(self):
        """(verdict, text): 'pass', 'no' (not one that passes as a process), 'fail'."""
        expected = self.passes_as_process()
        if expected is None:
            return "no", ""
        if not self.build("image"):
            return "fail", f"doesn't link: {self.complaint}"
        found = self.run("image")
        if found is None:
            return "fail", f"still running after {IMAGE_SECONDS} s"
        if found == expected:
            shutil.rmtree(self.folder, ignore_errors=True)
            return "pass", ""
        return (
            "fail",
            f"status {found[0]} in place of {expected[0]}\n{difference(expected[1], found[1])}",
        )


def difference(expected, found):
    """The first lines that differ."""
    expected, found = (text.decode(errors="replace").splitlines() for text in (expected, found))
    for number, (left, right) in enumerate(zip(expected + ["<end>"], found + ["<end>"]), 1):
        if left != right:
            rest = "\n".join(f"    {line}" for line in found[number - 1 : number + 12])
            return f"  line {number}: expected {left!r}, found\n{rest}"
    return "  one is the beginning of the other"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help=f"one program in {SHORT}")
    parser.add_argument("--jobs", type=int, default=jobs(for_each_processor=1))
    parser.add_argument("words", nargs="*", help="only programs whose path contains one of these")
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    for tool in TOOLS:
        if not (ROOT / tool).exists():
            sys.exit(f"{tool} isn't there: run `make build` first")
        (WORK / pathlib.Path(tool).name).unlink(missing_ok=True)
        shutil.copy(ROOT / tool, WORK)
    tests = source() / "testsuite" / "tests"
    skipped = skips()
    left_out, programs = {}, []
    for path, feature in candidates(tests):
        name = str(path.relative_to(tests))
        if options.words and not any(word in name for word in options.words):
            continue
        reason = skipped.get(name) or feature
        if reason:
            left_out.setdefault(reason, []).append(name)
        else:
            programs.append(Program(path, tests))
    if options.short:
        programs = programs[::SHORT]
    counts, failures = {"pass": 0, "no": 0, "fail": 0}, []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for program, (verdict, text) in zip(programs, pool.map(Program.check, programs)):
            counts[verdict] += 1
            if verdict == "fail":
                failures.append(program.name)
                print(f"FAIL {program.name}: {text}", flush=True)
    for reason, names in sorted(left_out.items()):
        print(f"left out, {reason}: {len(names)}")
    for name, reason in sorted(skipped.items()):
        print(f"skipped {name}: {reason}")
    print(
        f"{counts['pass']} of {counts['pass'] + counts['fail']} programs that pass as a process "
        "pass as an image "
        f"({counts['no']} aren't programs that pass as a process)"
    )
    # The last line is what tools/setup/test.sh counts.
    print(f"{counts['pass']} passed, {counts['fail']} failed")
    if failures or not counts["pass"]:
        sys.exit(f"failed: {', '.join(failures) or 'nothing ran'}")


if __name__ == "__main__":
    main()
