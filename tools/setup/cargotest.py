#!/usr/bin/env python3
"""`cargo test` with the test programs side by side, one for each processor.

Most of them keep one processor busy. A line for each program says what it found and how long it
took; the output of one that fails comes before its line. --deny-warnings: the compiler's warnings
fail the run at its end. Other arguments: those of `cargo test`.
"""

import collections
import concurrent.futures
import json
import os
import re
import subprocess
import sys

# Prints what cargo's own runner prints.
QUIET = re.compile(r"test .* \.\.\. (ok|ignored.*)|running \d+ tests?|")
Program = collections.namedtuple("Program", "name path folder")


def programs(words):
    """Builds the test programs: these and the number of warnings; None if that fails."""
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
                # An example or binary that is built for the tests to run is none itself.
                if message["executable"]:
                    found.append(program(message))
    return None if cargo.returncode != 0 else (found, warnings)


def program(artifact):
    """The test program that cargo describes."""
    folder = os.path.dirname(artifact["manifest_path"])
    source = os.path.relpath(artifact["target"]["src_path"], folder)
    name = f"{source} ({artifact['target']['name']})"
    return Program(name, artifact["executable"], folder)


def run(program):
    """Runs a program in its package's folder, as cargo does: its status and what it wrote."""
    environment = {**os.environ, "CARGO_MANIFEST_DIR": program.folder}
    done = subprocess.run(
        [program.path],
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


def main():
    deny = "--deny-warnings" in sys.argv
    built = programs([word for word in sys.argv[1:] if word != "--deny-warnings"])
    if built is None:
        return 1
    found, warnings = built
    failed = deny and warnings > 0
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for program, (status, text) in zip(found, pool.map(run, found), strict=True):
            failed |= status != 0
            lines = text.splitlines()
            results = [line for line in lines if line.startswith("test result: ")]
            for line in lines:
                if line not in results and not QUIET.fullmatch(line):
                    print(line)
            if status != 0 and not results:
                print(f"{program.name}: ended with status {status}")
            for line in results:
                print(f"{program.name}: {line}", flush=True)
    if deny and warnings > 0:
        print(f"0 passed, {warnings} failed: warnings, printed above")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
