#!/usr/bin/env python3
"""Runs programs of the OCaml compiler's own test suite as images.

A program counts if it is OCaml and C only, runs by itself, and passes as a Linux process; then it
has to print the same and end with the same status as an image, on machines with one, two and four
processors (--short: a tenth of the programs; those with domains on one of these machines, the
others on one processor). With --arch images are for that processor, and the process is this
machine's. skips.txt lists programs left out, each with its reason. The sources are those of
Debian's source package of the compiler in use; OCAML_SOURCE names a folder that has them already.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from harness import cross, flaky, sources  # noqa: E402
from harness.machine import jobs  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "target" / "ocaml-suite"
# The short run has one program in SHORT.
SHORT = 10
# Numbers of processors of the machines.
PROCESSORS = (1, 2, 4)
PROCESS_SECONDS = 120
# An emulated machine is twenty times slower than the host, which may itself be slow or busy.
IMAGE_SECONDS = 1200
# One of them keeps 400 MB.
OPTIONS = ["--mem", "1G", "--net", "none"]

# Words of a TEST block by which the program isn't one command of ocamlopt.
NOT_ALONE = re.compile(
    r"\b(all_modules|plugins|libraries|program|ocamlopt_byte_exit_status|subdirectories)\b\s*="
    r"|\bexpect;|\btoplevel|include (dynlink|ocaml|testing)|check-ocamlopt|ocamldoc|"
    r"ocamlc\.byte;\s*check-ocamlc|setup-ocaml.*-exit|bytecode;\s*$|frame_pointers|"
    r"\bcodegen\b|\basmgen\b|libwin32unix"
)
# The libraries that come with the compiler, by findlib's names.
LIBRARIES = {
    "unix": "unix",
    "str": "str",
    "systhreads": "threads.posix",
    "runtime_events": "runtime_events",
}
# With `Runtime_events` an image has at most as many domains as processors, unless this says
# otherwise. These programs start several on any machine.
DOMAINS_WITH_EVENTS = "d=8"
# The files that link and run images, copied first, since a concurrent build may remove them for a
# moment.
TOOLS = ["_build/default/tools/soil", "_build/default/tools/soil-cc"]
DOMAINS = re.compile(r"\bDomain\s*\.|\bopen Domain\b")
# What the kernel logs where domains outnumber processors, which a process doesn't.
SHARED = re.compile(rb"^soil: \d+ domains, and \d+ processors?: .*\n", re.M)
# Features that an image lacks, with the reason.
FEATURES = [
    (
        r"\b(fork|create_process|open_process\w*|execv\w*|Unix\.system|Sys\.command|waitpid)\b",
        "processes",
    ),
]


def source():
    """The folder of the compiler's sources; fetched with apt if missing."""
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
    package = sources.installed("ocaml")
    if not package.startswith(version):
        sys.exit(
            f"the compiler ({version}) isn't Debian's: name the folder of its sources in "
            "OCAML_SOURCE"
        )
    archive = sources.archive("ocaml", package, cache, "OCAML_SOURCE")
    folder.mkdir(exist_ok=True)
    subprocess.run(["tar", "-xf", archive, "-C", folder, "--strip-components=1"], check=True)
    return folder


def skips():
    """Path -> reason, from skips.txt."""
    lines = (HERE / "skips.txt").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines if line and not line.startswith("#"))
    return {path.strip(): reason.strip() for path, reason in pairs}


def block_of(text):
    """The TEST block, which may contain comments: at the beginning, or at the end if the beginning
    announces it. None without one."""
    found = re.match(r"\s*\(\*\s*TEST", text)
    if found and text[found.end() :].startswith("_BELOW"):
        found = re.search(r"\(\*\s*TEST\s", text)
    if not found:
        return None
    depth = 0
    for part in re.compile(r"\(\*|\*\)").finditer(text, found.start()):
        depth += 1 if part.group() == "(*" else -1
        if depth == 0:
            return text[found.start() : part.start()]
    return None


def value(block, name):
    """The words that a TEST block assigns to a variable."""
    found = re.search(rf'\b{name}\s*\+?=\s*"(.*?)"', block, re.S)
    return found.group(1).split() if found else []


def candidates(tests):
    """(path, block, reason to leave it out or None), for all programs of one command."""
    for path in sorted(tests.rglob("*.ml")):
        text = path.read_text(errors="replace")
        block = block_of(text)
        if block is None or NOT_ALONE.search(block):
            continue
        if any(not name.endswith((".c", ".ml")) for name in value(block, "modules")):
            continue
        feature = next((reason for pattern, reason in FEATURES if re.search(pattern, text)), None)
        yield path, block, feature


class Images:
    """How to compile images: for this machine's processor, or by the toolchain for `arch`."""

    def __init__(self, arch):
        self.archive = f"_build/soil{arch and '-' + arch}/kernel/libsoil_image.a"
        self.toolchain = ["-toolchain", arch] if arch else []
        self.environment = cross.environment() if arch else None


class Program:
    """One program of the suite."""

    images = Images("")

    def __init__(self, path, block, tests):
        self.path, self.block = path, block
        self.name = str(path.relative_to(tests))
        self.folder = WORK / self.name.replace("/", "--").removesuffix(".ml")
        self.form = {form: self.folder / f"{form}.exe" for form in ("process", "image")}
        self.modules = value(block, "modules")
        self.files = [
            name.replace("${test_source_directory}/", "")
            for name in value(block, "readonly_files")
            if name != "\\"
        ]
        self.environment = dict(re.findall(r'\bset (\w+)\s*=\s*"([^"$]*)"', block))
        parameters = value(block, "ocamlrunparam")
        if parameters:
            self.environment["OCAMLRUNPARAM"] = parameters[0].removeprefix(",")
        # A script of the suite that changes the output before the comparison.
        script = path.with_suffix(".run")
        self.filter = script.read_text(errors="replace") if script.exists() else ""
        self.is_unordered = "SORT" in self.filter
        parts = (path, *(path.parent / name for name in self.modules))
        self.text = "".join(part.read_text(errors="replace") for part in parts)
        self.has_domains = DOMAINS.search(self.text)
        if self.has_domains and re.search(r"\binclude runtime_events\b", block):
            own = self.environment.get("OCAMLRUNPARAM")
            self.environment["OCAMLRUNPARAM"] = DOMAINS_WITH_EVENTS + (f",{own}" if own else "")
        # Why a slow machine doesn't explain a failure.
        self.final = None

    @property
    def in_short(self):
        """Whether the short run includes it: by its name, so that other programs don't change the
        choice."""
        return self.hash % SHORT == 0

    @property
    def hash(self):
        return zlib.crc32(self.name.encode())

    def processors(self, short):
        """The numbers of processors to run it with."""
        if not short:
            return PROCESSORS
        if not self.has_domains:
            return PROCESSORS[:1]
        # By bits with which each number occurs.
        return (PROCESSORS[(self.hash >> 5) % len(PROCESSORS)],)

    def build(self, form):
        """Compiles one form; returns whether that worked."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in (self.path.name, *self.modules, *self.files):
            shutil.copyfile(self.path.parent / name, self.folder / pathlib.Path(name).name)
        link = ["-cc", str(WORK / "soil-cc"), "-ccopt", str(WORK / "libsoil_image.a")]
        words = value(self.block, "flags")
        used = re.findall(r"\binclude (\w+)", self.block)
        if re.search(r"\bUnix\s*\.", self.text):
            used.append("unix")
        packages = sorted({LIBRARIES[name] for name in used if name in LIBRARIES})
        if packages:
            words += ["-package", ",".join(packages), "-linkpkg"]
        is_image = form == "image"
        command = [
            "ocamlfind",
            *(self.images.toolchain if is_image else []),
            "ocamlopt",
            "-w",
            "-a",
            "-g",
            *words,
            *(link if is_image else []),
            *(pathlib.Path(name).name for name in self.modules),
            self.path.name,
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
                env=self.images.environment if is_image else None,
            )
        except subprocess.TimeoutExpired:
            return False
        self.complaint = result.stdout + result.stderr
        return result.returncode == 0 and self.form[form].exists()

    def run(self, form, processors=1):
        """(status, output), or None after the time limit. Its directory starts with exactly the
        files that it reads: an image gets them on a disk."""
        room = self.folder / "run"
        shutil.rmtree(room, ignore_errors=True)
        room.mkdir()
        for name in self.files:
            shutil.copy(self.path.parent / name, room)
        executable = str(self.form[form])
        arguments = [
            word.replace("${test_build_directory}", ".") for word in value(self.block, "arguments")
        ]
        if form == "process":
            command, limit = [executable, *arguments], PROCESS_SECONDS
        else:
            options = [*OPTIONS, "--cpus", str(processors)]
            options += self.disk(room) if self.files else []
            for pair in self.environment.items():
                options += ["--env", "=".join(pair)]
            command = [str(WORK / "soil"), "run", executable, *options, "--", *arguments]
            limit = IMAGE_SECONDS
        # A program that prints its own name must print the same one.
        environment = dict(os.environ, SOIL_ARGV0=str(self.form["process"]), **self.environment)
        try:
            result = subprocess.run(
                command,
                cwd=room,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=limit,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            return None
        output = result.stdout if form == "process" else SHARED.sub(b"", result.stdout)
        if self.is_unordered:
            output = b"".join(sorted(output.splitlines(keepends=True)))
        return result.returncode, output

    def disk(self, room):
        """Options for a disk with the files of `room`, which is the machine's `/`."""
        path = self.folder / "disk.ext4"
        path.unlink(missing_ok=True)
        command = ["mkfs.ext4", "-q", "-d", str(room), str(path), "16M"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return ["--disk", f"files={path}", "--mount", "/=ext4:files"]

    def passes_as_process(self):
        """Whether the suite itself would pass it, twice with the same output."""
        if not self.build("process"):
            return None
        first = self.run("process")
        reference = self.path.with_suffix(".reference")
        has_reference = reference.exists() and not self.filter
        if has_reference and first and first[1] != reference.read_bytes():
            return None
        allowed = value(self.block, "exit_status")
        if first is None or first[0] < 0 or first[0] == 2 and "2" not in allowed:
            return None
        if self.run("process") != first:
            return None
        return first

    def check(self, short):
        """(verdict, text): 'pass', 'no' (not one that passes as a process), 'fail'."""
        expected = self.passes_as_process()
        if expected is None:
            return "no", ""
        if not self.build("image"):
            self.final = "it doesn't link"
            return "fail", f"doesn't link: {self.complaint}"
        for processors in self.processors(short):
            found = self.run("image", processors)
            on = f"on {processors} processor{'s' if processors > 1 else ''}"
            if found is None:
                self.final = "a hang"
                return "fail", f"{on}: still running after {IMAGE_SECONDS} s"
            if found != expected:
                self.final = flaky.final(found[1].decode(errors="replace"))
                return (
                    "fail",
                    f"{on}: status {found[0]} in place of {expected[0]}\n"
                    + difference(expected[1], found[1]),
                )
        shutil.rmtree(self.folder, ignore_errors=True)
        return "pass", ""


def difference(expected, found):
    """The first lines that differ."""
    expected, found = (text.decode(errors="replace").splitlines() for text in (expected, found))
    for number, (left, right) in enumerate(zip(expected + ["<end>"], found + ["<end>"]), 1):
        if left != right:
            rest = "\n".join(f"    {line}" for line in found[number - 1 : number + 12])
            return f"  line {number}: expected {left!r}, found\n{rest}"
    return "  one is the beginning of the other"


def failure(program, text):
    """Prints the failure; returns it for the rule for failed tests."""
    print(f"FAIL {program.name}: {text}", flush=True)
    return flaky.Failure(flaky.first_line(text), program.final or flaky.final(text))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help=f"one program in {SHORT}")
    parser.add_argument("--arch", default="", choices=["aarch64"], help="images for it")
    parser.add_argument("--jobs", type=int, default=jobs(for_each_processor=1))
    parser.add_argument("words", nargs="*", help="only programs whose path contains one of these")
    options = parser.parse_args()
    Program.images = Images(options.arch)
    WORK.mkdir(parents=True, exist_ok=True)
    for tool in (*TOOLS, Program.images.archive):
        if not (ROOT / tool).exists():
            sys.exit(f"{tool} is missing: run `make build`")
        (WORK / pathlib.Path(tool).name).unlink(missing_ok=True)
        shutil.copy(ROOT / tool, WORK)
    tests = source() / "testsuite" / "tests"
    skipped = skips()
    left_out, programs = {}, []
    for path, block, feature in candidates(tests):
        name = str(path.relative_to(tests))
        if options.words and not any(word in name for word in options.words):
            continue
        reason = skipped.get(name) or feature
        if reason:
            left_out.setdefault(reason, []).append(name)
        else:
            programs.append(Program(path, block, tests))
    if options.short:
        programs = [program for program in programs if program.in_short]
    counts, failures = {"pass": 0, "no": 0, "fail": 0}, {}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        verdicts = pool.map(lambda program: program.check(options.short), programs)
        for program, (verdict, text) in zip(programs, verdicts):
            counts[verdict] += 1
            if verdict == "fail":
                failures[program.name] = failure(program, text)
    by_name = {program.name: program for program in programs}

    def again(names):
        checked = {name: by_name[name].check(options.short) for name in names}
        return {
            name: failure(by_name[name], text)
            for name, (verdict, text) in checked.items()
            if verdict != "pass"
        }

    told, failures = flaky.run_again(failures, again)
    counts["pass"] += len(told)
    counts["fail"] -= len(told)
    for reason, names in sorted(left_out.items()):
        print(f"left out, {reason}: {len(names)}: {' '.join(names)}")
    for name, reason in sorted(skipped.items()):
        print(f"skipped {name}: {reason}")
    print(
        f"{counts['pass']} of {counts['pass'] + counts['fail']} programs that pass as a process "
        "pass as an image "
        f"({counts['no']} aren't programs that pass as a process)"
    )
    print(*told.values(), sep="\n", end="\n" if told else "")
    # tools/setup/test.sh counts the last line.
    print(f"{counts['pass']} passed, {counts['fail']} failed")
    if failures or not counts["pass"]:
        sys.exit(f"failed: {', '.join(failures) or 'nothing ran'}")


if __name__ == "__main__":
    main()
