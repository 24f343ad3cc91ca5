#!/usr/bin/env python3
"""`cargo test` with the test programs side by side, one for each processor.

Most of them keep one processor busy. A line for each program says what it found and how long it
took; the output of one that fails comes before its line. Arguments: those of `cargo test`.
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
    """Builds the test programs; None if that fails."""
    command = ["cargo", "test", "--no-run", "--message-format=json-render-diagnostics", *words]
    built = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if built.returncode != 0:
        return None
    found = []
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message["reason"] != "compiler-artifact" or not message["profile"]["test"]:
            continue
        folder = os.path.dirname(message["manifest_path"])
        source = os.path.relpath(message["target"]["src_path"], folder)
        # An example or binary that is built for the tests to run is none itself.
        if message["executable"]:
            name = f"{source} ({message['target']['name']})"
            found.append(Program(name, message["executable"], folder))
    return found


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
    words = sys.argv[1:]
    found = programs(words)
    if found is None:
        return 1
    failed = False
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
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
