"""The benchmarks' plots, as bench/plots.py draws them from the stored results."""

import os

from harness.context import ROOT
from harness.runner import test

BENCH = os.path.join(ROOT, "bench")


@test(limit=60)
def plots_have_a_place_for_each_figure(context):
    """Every figure of bench/run.py belongs to a chart; the stored results are drawn, each time with
    the same bytes."""
    check = "import run, plots; [plots.chart_of(name) for name in run.ORDER]"
    context.run("python3", "-B", "-c", check, cwd=BENCH)
    results = os.path.join(BENCH, "results", "latest.json")
    drawn = []
    for name in ("first", "again"):
        folder = context.path(name)
        os.mkdir(folder)
        context.run(os.path.join(BENCH, "plots.py"), results, folder)
        charts = {}
        for each in os.listdir(folder):
            with open(os.path.join(folder, each), "rb") as file:
                charts[each] = file.read()
        drawn.append(charts)
    assert {"boot.svg", "network.svg", "overview.svg"} <= drawn[0].keys(), drawn[0].keys()
    assert drawn[0] == drawn[1], "two drawings of the same results differ"
