#!/usr/bin/env python3
"""Draws the results as SVG with gnuplot; see bench/README.md.

Usage: bench/plots.py [RESULTS.json [FOLDER]]

Without arguments it reads bench/results/latest.json and writes beside it. The same results give the
same bytes (for one version of gnuplot), so that a new run changes only what it measured.
"""

import json
import math
import os
import re
import statistics
import subprocess
import sys

from measure import Figure, shown

HERE = os.path.dirname(os.path.abspath(__file__))
RESULTS = os.path.join(HERE, "results", "latest.json")

SOIL, PEER, FLOOR = "#0072b2", "#d55e00", "#b0b0b0"  # distinct with any colour vision
WIDTH, ROW = 1000, 22  # pixels

# Each figure with a peer belongs to the first chart whose pattern matches its whole name.
CHARTS = [
    (
        "size",
        "Start, size and memory",
        r"boot_.*|image_.*|min_ram_.*|idle_.*|compute_.*|fs_memory_.*|net_idle_.*|net_boot_.*",
    ),
    (
        "network",
        "Network: image and Linux micro-VM",
        r"http_.*|tcp_.*|tls_.*|vsock_.*|resp_.*|net_(?!host_).*",
    ),
    (
        "process",
        "Network and start: Soil's process and a Unix program",
        r"host_.*|net_host_.*|proxy_.*|h2_.*",
    ),
    (
        "disks",
        "Raw disks: image and Linux micro-VM",
        r"blk_.*|scsi_.*|nvme_.*|fs_blk_.*|fs_flush_.*",
    ),
    ("files", "Files: image and Linux micro-VM", r"fat_.*|agent_.*|fs_(?!host_).*"),
    ("process-storage", "Disks and files: Soil's process and a Unix program", r"fs_host_.*"),
    (
        "unmodified",
        "Programs without a line of Soil",
        r"thread_.*|mutex_.*|domain_.*|malloc_.*|futex_.*|unix_.*|lwt_.*|sqlite_.*",
    ),
    ("display", "Displays: image and Linux micro-VM", r"display_.*"),
    ("simulation", "Virtual time beside real time", r"simulation_.*"),
    ("exits", "Exits under KVM: image and Linux micro-VM", r"kvm_exits_.*"),
]

# The main chart: one line for each commonly asked figure.
OVERVIEW = [
    ("boot_first_line_ms", "Boot to the first line"),
    ("image_bytes_hello", "Image size, hello"),
    ("min_ram_mib_hello", "Least memory, hello"),
    ("net_http_rps_c8", "HTTP, 8 connections"),
    ("net_http_rps_c64", "HTTP, 64 connections"),
    ("net_conn_per_s", "New connections"),
    ("net_tcp_out_gbps", "TCP, guest to host"),
    ("net_tcp_in_gbps", "TCP, host to guest"),
    ("net_rtt_us_p50", "Round trip, median"),
    ("fs_blk_seq_read_mibs", "Disk, sequential reads"),
    ("fs_blk_rand_read_iops_qd32", "Disk, random reads, depth 32"),
    ("fs_fat_write_mibs", "FAT, write and sync"),
    ("fs_fat_create_per_s", "FAT, create files"),
    ("fs_ext4_read_mibs", "ext4, cold read"),
    ("fs_ext4_create_per_s", "ext4, create files"),
    ("fs_ext4_fsync_append_per_s", "ext4, append and fsync"),
    ("compute_ratio", "Compute, garbage collection"),
    ("thread_switch_us", "Unmodified: thread switch"),
    ("unix_http_rps_c8", "Unmodified: HTTP by Unix, 8 connections"),
    ("unix_file_read_mibs", "Unmodified: Unix.read"),
    ("net_host_http_rps_c8", "Process: HTTP, 8 connections"),
]


def chart_of(name):
    """The chart that a figure belongs to."""
    for chart, _, pattern in CHARTS:
        if re.fullmatch(pattern, name):
            return chart
    raise KeyError(
        f"{name}: no chart of bench/plots.py matches this figure; add a pattern to CHARTS"
    )


def ratios(result):
    """Median, minimum and maximum of the pairs' ratios."""
    figure = Figure(result["name"], result["unit"], result["better"])
    figure.runs = result["runs"]
    every = figure.ratios() or [result["ratio"]]
    return result["ratio"], min(every), max(every)


def quoted(text):
    """A literal string of gnuplot, without interpretation."""
    return "'" + text.replace("'", "''") + "'"


def terminal(path, rows, top=70):
    size = f"{WIDTH},{top + rows * ROW + 50}"
    return [
        f"set terminal svg size {size} font 'sans-serif,12' background 'white' noenhanced",
        f"set output {quoted(path)}",
        "set border 1",
        "set ytics nomirror scale 0",
        "set xtics nomirror",
    ]


def note(text, x, y):
    """Small text that begins at a place."""
    return f"set label {quoted(text)} at {x}, {y} left font ',11'"


def ratio_chart(path, title, rows):
    """Bars from 1 to each ratio on a logarithmic axis. `rows` are (label, result)."""
    count = len(rows)
    # At least 4 decades, so that charts are comparable; more where bars need it.
    least = min([0.25] + [ratios(result)[1] for _, result in rows])
    greatest = max([40] + [ratios(result)[2] for _, result in rows])
    left, right = 2 ** math.floor(math.log2(least)), 2 ** math.ceil(math.log2(greatest))
    script = terminal(path, count)
    script += [
        f"set title {quoted(title)} font ',15'",
        "set logscale x 2",
        f"set xrange [{left:g}:{right:g}]",
        f"set yrange [-0.7:{count - 0.3}]",
        "set xlabel 'times as good as the peer (logarithmic): right of 1 Soil is better'",
        "set grid xtics lc rgb '#dddddd' lt 1",
        "set rmargin 38",
        note("ratio   Soil : peer", "graph 1.01", f"first {count - 0.2}"),
        "set key off",
        "set arrow from 1, graph 0 to 1, graph 1 nohead lc rgb 'black' lw 1.5",
        "set style fill solid noborder",
    ]
    ytics, bars, whiskers = [], [], []
    for index, (label, result) in enumerate(rows):
        y = count - 1 - index
        median, low, high = ratios(result)
        ytics.append(f"{quoted(label)} {y}")
        colour = int((SOIL if median >= 1 else PEER)[1:], 16)
        ends = f"{min(1, median):g} {max(1, median):g}"
        bars.append(f"{median:g} {y} {ends} {y - 0.35:g} {y + 0.35:g} {colour}")
        whiskers.append(f"{median:g} {y} {low:g} {high:g}")
        values = f"{shown(result['soil'])} : {shown(result['peer'])} {result['unit']}"
        script.append(note(f"{median:.2f}   {values}", "graph 1.01", f"first {y}"))
    script += [
        f"set ytics ({', '.join(ytics)})",
        "$bars << EOD",
        *bars,
        "EOD",
        "$whiskers << EOD",
        *whiskers,
        "EOD",
        "plot $bars using 1:2:3:4:5:6:7 with boxxyerror lc rgb variable,"
        " $whiskers using 1:2:3:4 with xerrorbars lc rgb 'black' lw 1 pt 7 ps 0.2",
    ]
    return script


def boot_phases(results):
    """(label, [milliseconds]) for each machine: QEMU with an empty image, and the phases after
    it."""
    rows = []
    for machine, suffix in (("microvm", ""), ("q35", "_q35")):
        line = results.get("boot_first_line_ms" + suffix)
        floor = results.get("boot_floor_ratio" + suffix)
        if not line or not floor:
            continue
        pairs = list(zip(line["runs"], floor["runs"]))
        least = statistics.median(
            ms / times for run, base in pairs for ms, times in zip(run, base) if ms and times
        )
        for who, key in (("Soil", "soil"), ("Linux", "peer")):
            rows.append((f"{who}, {machine}", [least, max(0, line[key] - least)]))
    return rows


def boot_chart(path, rows):
    """Boot time by phase, in milliseconds."""
    count = len(rows)
    script = terminal(path, count, top=100)
    script += [
        "set title 'Boot: from the start of QEMU to the first line' font ',15'",
        f"set yrange [-0.7:{count - 0.3}]",
        f"set xrange [0:{1.3 * max(sum(phases) for _, phases in rows):g}]",
        "set xlabel 'milliseconds'",
        "set grid xtics lc rgb '#dddddd' lt 1",
        "set key top right outside horizontal",
        "set style fill solid noborder",
    ]
    ytics, floors, rests = [], [], []
    for index, (label, (floor, rest)) in enumerate(rows):
        y = count - 1 - index
        ytics.append(f"{quoted(label)} {y}")
        floors.append(f"{floor / 2:.4g} {y} 0 {floor:.4g} {y - 0.35:g} {y + 0.35:g}")
        rests.append(f"{floor:.4g} {y} {floor:.4g} {floor + rest:.4g} {y - 0.35:g} {y + 0.35:g}")
        values = f"  {floor + rest:.0f} ms = {floor:.0f} + {rest:.0f}"
        script.append(note(values, f"{floor + rest:.4g}", str(y)))
    script += [
        f"set ytics ({', '.join(ytics)})",
        "$floors << EOD",
        *floors,
        "EOD",
        "$rests << EOD",
        *rests,
        "EOD",
        f"plot $floors using 1:2:3:4:5:6 with boxxyerror lc rgb '{FLOOR}'"
        " title 'QEMU and an empty image',"
        f" $rests using 1:2:3:4:5:6 with boxxyerror lc rgb '{SOIL}'"
        " title 'guest, to its first line'",
    ]
    return script


def scripts(results, folder):
    """The charts for which these results have figures: {path: lines of gnuplot}."""
    results = [each for each in results if "missing" not in each]
    named = {each["name"]: each for each in results}
    compared = [each for each in results if each["ratio"] is not None]
    charts = {}

    def add(name, make, *words):
        path = os.path.join(folder, name + ".svg")
        charts[path] = make(path, *words)

    overview = [
        (label, named[name])
        for name, label in OVERVIEW
        if name in named and named[name]["ratio"] is not None
    ]
    if overview:
        add("overview", ratio_chart, "Soil beside Linux", overview)
    phases = boot_phases(named)
    if phases:
        add("boot", boot_chart, phases)
    rows = {chart: [] for chart, _, _ in CHARTS}
    for each in compared:
        rows[chart_of(each["name"])].append((each["name"], each))
    for chart, title, _ in CHARTS:
        if rows[chart]:
            add(chart, ratio_chart, title, rows[chart])
    return charts


def draw(results, folder):
    """Writes the charts into `folder`; returns their paths. FileNotFoundError without gnuplot."""
    charts = scripts(results, folder)
    for script in charts.values():
        subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, check=True)
    return sorted(charts)


def main():
    source = sys.argv[1] if len(sys.argv) > 1 else RESULTS
    folder = sys.argv[2] if len(sys.argv) > 2 else os.path.dirname(RESULTS)
    with open(source, encoding="utf-8") as file:
        results = json.load(file)
    try:
        print("\n".join(draw(results, folder)))
    except FileNotFoundError as problem:
        sys.exit(f"error: {problem.filename} is not there; run: make setup")
    except KeyError as problem:
        sys.exit(f"error: {problem.args[0]}")


if __name__ == "__main__":
    main()
