#!/usr/bin/env python3
"""`cargo test` with parallel test programs, one for each processor.

Most of them keep one processor busy. Each program's line has its result and duration; the output of
one that fails comes before its line. A failed test is repeated by itself after all programs have
ended (tests/harness/flaky.py). --deny-warnings: the compiler's warnings fail the run at its end.
Other arguments: those of `cargo test`.
"""

import collections
import concurrent.futures
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))

from harness import flaky  # noqa: E402

# Lines of cargo's own runner.
QUIET = re.compile(r"test .* \.\.\. (ok|ignored.*)|running \d+ tests?|")
Program = collections.namedtuple("Program", "name command folder")


def programs(words):
    """Builds the test programs: returns these and the number of warnings; None if that fails."""
    command = ["cargo", "test", "--no-run", "--message-format=json", *words]
    found = []
    warnings = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as cargo:
        for line in cargo.stdout:
            message = json.loads(line)
            if message["reason"] == "compiler-message":
                print(message["message"]["rendered"], flush=True)
                # The last warning of a crate, without a place, counts the others.
                warnings += bool(message["message"]["spans"])
            elif message["reason"] == "compiler-artifact" and message["profile"]["test"]:
                # An example or binary built for the tests to run is not a test program.
                if message["executable"]:
                    found.append(program(message))
    return None if cargo.returncode != 0 else (found, warnings)


def program(artifact):
    """The test program that cargo describes."""
    folder = os.path.dirname(artifact["manifest_path"])
    source = os.path.relpath(artifact["target"]["src_path"], folder)
    name = f"{source} ({artifact['target']['name']})"
    return Program(name, (artifact["executable"],), folder)


def run(program, *words):
    """Runs a program in its package's folder, as cargo does: returns its status and output."""
    environment = {**os.environ, "CARGO_MANIFEST_DIR": program.folder}
    done = subprocess.run(
        [*program.command, *words],
        cwd=program.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout


def place(program):
    """The file of the program's tests, below the repository."""
    return os.path.relpath(os.path.join(program.folder, program.name.split(" (")[0]), ROOT)


def is_test_code(path, line):
    """Whether a line of a source file belongs to the tests: in a file or folder `tests`, or after
    the line `mod tests {`."""
    names = os.path.normpath(path).removesuffix(".rs").split(os.sep)
    if "tests" in names:
        return True
    try:
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            before = file.readlines()[: int(line)]
    except FileNotFoundError:
        return False
    return any(each.strip() == "mod tests {" for each in before)


def failed_tests(status, text):
    """The failures that a test program reports, by the test's name; None if it crashed without a
    report."""
    if status != 101 or "\ntest result: " not in text:
        return None
    found = {}
    for block in re.split(r"^---- ", text, flags=re.MULTILINE)[1:]:
        head, _, said = block.partition("\n")
        said = said.split("\nfailures:\n")[0]
        found[head.removesuffix(" stdout ----")] = failure(said)
    names = re.search(r"^failures:\n((?:    .+\n)+)\ntest result", text, re.MULTILINE)
    listed = [line.strip() for line in names[1].splitlines()] if names else []
    return {name: found.get(name, flaky.Failure("no output", None)) for name in listed}


def failure(said):
    """The failure from a failed test's output. The test's own assertion is a panic as well; any
    other panic is the product's, and final."""
    panics = re.findall(r"panicked at (\S+?):(\d+):\d+:\n(.*)", said)
    final = None
    # A panic in a test's code has none of the words that `flaky.final` searches for.
    for path, line, _ in panics:
        if not is_test_code(path, line):
            final = f"a panic at {path}:{line}"
    rest = re.sub(r"panicked at \S+?:\d+:\d+:\n", "", said)
    why = panics[0][2] if panics else flaky.first_line(said)
    return flaky.Failure(flaky.first_line(why), final or flaky.final(rest))


def amended(line, passed):
    """A result line with `passed` failed tests counted as passed."""
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed)", line)}
    left = counts["failed"] - passed
    line = re.sub(r"\d+ passed", f"{counts['passed'] + passed} passed", line)
    line = re.sub(r"\d+ failed", f"{left} failed", line)
    return line if left else line.replace("FAILED", "ok")


def run_all(found):
    """Runs the programs, then repeats the failed tests; returns whether anything failed at the
    end."""
    failed, held = False, {}
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for program, (status, text) in zip(found, pool.map(run, found), strict=True):
            lines = text.splitlines()
            results = [line for line in lines if line.startswith("test result: ")]
            for line in lines:
                if line not in results and not QUIET.fullmatch(line):
                    print(line)
            tests = None if status == 0 else failed_tests(status, text)
            if tests:
                held[program] = results[-1], tests
                continue
            if status != 0:
                failed = True
                print(f"{program.name}: ended with status {status}")
            for line in results:
                print(f"{program.name}: {line}", flush=True)
    told = run_again(held)
    for program, (result, tests) in held.items():
        passed = sum((program, name) in told for name in tests)
        failed |= passed < len(tests)
        print(f"{program.name}: {amended(result, passed)}")
    print(*told.values(), sep="\n", end="\n" if told else "")
    return failed


def run_again(held):
    """Repeats each failed test of these programs by itself; returns the report's lines of those
    that passed, by program and test."""
    named = {
        f"{place(program)}: {test}": (program, test)
        for program, (_, tests) in held.items()
        for test in tests
    }

    def once(program, test):
        status, text = run(program, "--exact", test)
        if status == 0 and "1 passed" in text:
            return None
        print(re.sub("^test result", "again", text, flags=re.MULTILINE), flush=True)
        failed = failed_tests(status, text) or {}
        return failed.get(test, flaky.Failure(f"status {status}", "a crash"))

    def again(names):
        found = {name: once(*named[name]) for name in names}
        return {name: failure for name, failure in found.items() if failure}

    failures = {name: held[program][1][test] for name, (program, test) in named.items()}
    told, _ = flaky.run_again(failures, again)
    return {named[name]: line for name, line in told.items()}


def main():
    deny = "--deny-warnings" in sys.argv
    built = programs([word for word in sys.argv[1:] if word != "--deny-warnings"])
    if built is None:
        return 1
    found, warnings = built
    failed = run_all(found) or (deny and warnings > 0)
    if deny and warnings > 0:
        print(f"0 passed, {warnings} failed: warnings, printed above")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
