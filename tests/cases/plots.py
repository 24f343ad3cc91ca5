"""The benchmarks' plots, as bench/plots.py draws them from results."""

import json
import os
import xml.etree.ElementTree as ElementTree

from harness.context import ROOT
from harness.runner import test

PLOTS = os.path.join(ROOT, "bench", "plots.py")


def figure(name, unit, better, *runs):
    """A figure as bench/run.py stores it; its medians are those of the first pair."""
    soil, peer = runs[0]
    ratio = peer and (soil / peer if better == "higher" else peer / soil)
    return {
        "name": name,
        "unit": unit,
        "better": better,
        "soil": soil,
        "peer": peer,
        "ratio": ratio,
        "runs": [list(run) for run in runs],
    }


RESULTS = [
    figure("boot_first_line_ms", "ms", "lower", (45.0, 1400.0)),
    figure("boot_floor_ratio", "times the empty image", "lower", (1.8, 56.0)),
    figure("net_http_rps_c8", "requests/s", "higher", (40000.0, 10000.0), (41000.0, 10000.0)),
    figure("fs_ext4_create_per_s", "files/s", "higher", (1500.0, 4500.0)),
    figure("net_ceiling_fps", "frames/s", "higher", (212700.0, None)),
]


def drawn(context, name, results):
    """The charts of these results: {file: (bytes, all of its text)}."""
    source, folder = context.path(name + ".json"), context.path(name)
    with open(source, "w", encoding="utf-8") as file:
        json.dump(results, file)
    os.mkdir(folder)
    context.run(PLOTS, source, folder)
    charts = {}
    for each in sorted(os.listdir(folder)):
        with open(os.path.join(folder, each), "rb") as file:
            content = file.read()
        text = [part.strip() for part in ElementTree.fromstring(content).itertext()]
        charts[each] = content, [part for part in text if part]
    return charts


@test(limit=60)
def plots_show_what_was_measured(context):
    """A chart for each group with figures, boot by phase; a second drawing has the same bytes."""
    charts = drawn(context, "first", RESULTS)
    expected = ["boot.svg", "files.svg", "network.svg", "overview.svg", "size.svg"]
    assert list(charts) == expected, list(charts)
    network = charts["network.svg"][1]
    assert "net_http_rps_c8" in network, network
    assert "4.00   40,000 : 10,000 requests/s" in network, network
    without_peer = [part for part in network if "net_ceiling_fps" in part]
    assert not without_peer, "a figure without a peer has no bar"
    assert "0.33   1,500 : 4,500 files/s" in charts["files.svg"][1], charts["files.svg"][1]
    # 45 ms at 1.8 times the empty image are 25 ms of QEMU and 20 of Soil.
    boot = charts["boot.svg"][1]
    assert "45 ms = 25 + 20" in boot and "1400 ms = 25 + 1375" in boot, boot
    again = drawn(context, "again", RESULTS)
    assert charts == again, "two drawings of the same results differ"


@test(limit=60)
def plots_have_a_place_for_each_figure(context):
    """Every figure of bench/run.py belongs to a chart; an unknown one is an error that names it."""
    check = "import run, plots; [plots.chart_of(name) for name in run.ORDER]"
    context.run("python3", "-B", "-c", check, cwd=os.path.join(ROOT, "bench"))
    source = context.path("unknown.json")
    with open(source, "w", encoding="utf-8") as file:
        json.dump([{**RESULTS[2], "name": "unheard_of"}], file)
    done = context.run(PLOTS, source, context.path(""), check=False)
    assert done.returncode == 1, done.returncode
    assert "unheard_of: no chart" in done.stderr, done.stderr
