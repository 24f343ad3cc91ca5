#!/usr/bin/env python3
"""Counts with valgrind the instructions of calls on a plain descriptor and through a flow of the
program's own; prints the table of docs/evidence/benchmarks.md. The counts are the same on every
machine."""

import os
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = "_build/default/bench/programs/soil/flows.exe"
FEW, MANY = 1000, 3000
CASES = (
    ("io", 1, "`write` and `read` of 1 KiB"),
    ("lines", 32, "`Reader.line` of 32 bytes"),
    ("copy", 1, "`copy` of 64 KiB, with its pipes"),
)


def instructions(kind, case, count):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command += [os.path.join(ROOT, PROGRAM), kind, case, str(count)]
    environment = {**os.environ, "SOIL_NET": "none"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return int(re.search(r"Collected : (\d+)", done.stderr)[1])


def main():
    subprocess.run(["dune", "build", "./" + PROGRAM], cwd=ROOT, check=True)
    print("| instructions | plain | flow |\n|---|---|---|")
    for case, calls, name in CASES:
        figures = [
            (instructions(kind, case, MANY) - instructions(kind, case, FEW)) / (MANY - FEW) / calls
            for kind in ("plain", "flow")
        ]
        print(f"| {name} | {figures[0]:,.0f} | {figures[1]:,.0f} |")


if __name__ == "__main__":
    main()
