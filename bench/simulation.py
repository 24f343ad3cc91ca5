"""`soil simulate` on examples/replicated: virtual time beside real time, on one processor. The peer is
the same test in real time, which takes as long as it says."""

import json
import subprocess

from boot import built
from measure import Figure

TEST = "_build/default/examples/replicated/simulation/three.exe"
SOIL = "_build/install/default/bin/soil"
# Of 60 s of virtual time each.
SEEDS = 20
ORDER = ["simulation_times_real_time"]


def speed(options):
    figure = Figure("simulation_times_real_time", "", "higher")
    for number in range(options.pairs):
        first = 1 + number * SEEDS
        words = [built(SOIL), "simulate", built(TEST), "--json", "--no-shrink", "--jobs", "1"]
        words += ["--seeds", f"{first}-{first + SEEDS - 1}"]
        run = subprocess.run(words, stdout=subprocess.PIPE, check=True)
        summary = json.loads(run.stdout)
        figure.add(summary["virtual_seconds"] / summary["seconds"], 1)
    return [figure]


GROUPS = {"simulation": speed}
