#!/usr/bin/env python3
"""Runs the benchmarks against the Linux micro-VM; see bench/README.md.

Usage: bench/run.py [--arch ARCH] [--only WORD[,WORD…]] [--pairs N] [--seconds S] [--machine NAME]

With --arch aarch64 both guests are for that processor.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path[:0] = [HERE, os.path.join(ROOT, "tests")]

# The other modules have to know the processor when they are loaded. The end-to-end tests, which
# load this one, have an option of the same name, and Linux guests of this machine's processor.
for number, word in enumerate(sys.argv if __name__ == "__main__" else ()):
    if word.startswith("--arch="):
        os.environ["SOIL_BENCH_ARCH"] = word.removeprefix("--arch=")
    elif word == "--arch" and number + 1 < len(sys.argv):
        os.environ["SOIL_BENCH_ARCH"] = sys.argv[number + 1]

import boot  # noqa: E402
import cpu  # noqa: E402
import database  # noqa: E402
import disks  # noqa: E402
import display  # noqa: E402
import domains  # noqa: E402
import exits  # noqa: E402
import host  # noqa: E402
import machines  # noqa: E402
import measure  # noqa: E402
import network  # noqa: E402
import peer  # noqa: E402
import plots  # noqa: E402
import processes  # noqa: E402
import qemu  # noqa: E402
import resp  # noqa: E402
import secure  # noqa: E402
import simulation  # noqa: E402
import start  # noqa: E402
import storage  # noqa: E402
import target  # noqa: E402
import tcpip  # noqa: E402
import unmodified  # noqa: E402
from harness import console, cross, sandbox  # noqa: E402

RESULTS = os.path.join(HERE, "results", f"{target.ARCH if target.FOREIGN else 'latest'}.json")
PAGE = os.path.join(ROOT, "docs", "evidence", "benchmarks.md")
OF = f" for {target.ARCH}" if target.FOREIGN else ""
BEGIN, END = f"<!-- results{OF}: written by bench/run.py -->", f"<!-- end of results{OF} -->"

GROUPS = {
    "boot": boot.boot,
    "size": boot.sizes,
    "ram": boot.memory,
    "http": network.http,
    "tcp_out": network.tcp_out,
    "tcp_in": network.tcp_in,
    "tcp_rtt": network.tcp_rtt,
    "idle": network.idle,
    "ceiling": network.ceiling,
    "blk": disks.raw,
    "fat": disks.files,
    "compute": boot.compute,
    **processes.GROUPS,
    **tcpip.GROUPS,
    **storage.GROUPS,
    **unmodified.GROUPS,
    **domains.GROUPS,
    **secure.GROUPS,
    **display.GROUPS,
    **machines.GROUPS,
    **host.GROUPS,
    **cpu.GROUPS,
    **resp.GROUPS,
    **database.GROUPS,
    **exits.GROUPS,
    **simulation.GROUPS,
}

# Groups without figures for another processor.
OMITTED = {
    **dict.fromkeys(simulation.GROUPS, "nodes run on x86-64 only"),
    **dict.fromkeys(
        [*processes.GROUPS]
        + "net_host net_stack fs_host fs_host_files host_cpu host_resp host_database".split(),
        "its programs are processes of this machine",
    ),
    **dict.fromkeys(machines.GROUPS, "its disks and controllers are a PC's"),
    **dict.fromkeys(exits.GROUPS, "the tracepoints' kinds are those of x86-64"),
    **dict.fromkeys(
        [*secure.GROUPS, *display.GROUPS, *host.GROUPS, "cpu", "resp", "lwt_http", "sqlite"],
        "its peer is built for x86-64 only",
    ),
    "ceiling": "the responder is for x86-64",
    "net_loss": "the path limits it, not the processor",
}

ORDER = """boot_first_line_ms boot_floor_ratio boot_first_line_ms_q35
boot_floor_ratio_q35 boot_first_line_ms_virt_pci boot_floor_ratio_virt_pci
image_bytes_hello image_bytes_echo image_bytes_website
image_bytes_hello_beside_x86_64 image_bytes_echo_beside_x86_64 image_bytes_website_beside_x86_64
min_ram_mib_hello min_ram_mib_echo min_ram_mib_website http_rps_c8 http_rps_c64
http_p99_ms_c64 tcp_out_gbps tcp_in_gbps tcp_rtt_us_p50 blk_seq_read_mibs
blk_rand_read_iops fat_read_mibs fat_write_mibs compute_ratio
idle_cpu_percent net_ceiling_fps""".split()
ORDER += (
    processes.ORDER
    + tcpip.ORDER
    + storage.ORDER
    + unmodified.ORDER
    + domains.ORDER
    + secure.ORDER
    + display.ORDER
    + machines.ORDER
    + host.ORDER
    + resp.ORDER
    + database.ORDER
    + cpu.ORDER
    + exits.ORDER
    + simulation.ORDER
)


def arguments():
    parser = argparse.ArgumentParser(description="Soil's benchmarks, interleaved with its peer's.")
    parser.add_argument("--only", default="", help="groups: " + ", ".join(GROUPS))
    parser.add_argument("--pairs", type=int, default=5, help="measured pairs of each figure")
    parser.add_argument("--seconds", type=float, default=5, help="length of each load")
    parser.add_argument("--arch", choices=target.TARGETS, default=target.ARCH)
    machines_there = list(peer.TRANSPORT)
    parser.add_argument("--machine", choices=machines_there, default=machines_there[0])
    options = parser.parse_args()
    options.only = [word for word in options.only.replace(",", " ").split() if word]
    unknown = set(options.only) - set(GROUPS)
    if unknown:
        parser.error(f"unknown group {', '.join(sorted(unknown))}; there are: {', '.join(GROUPS)}")
    return options


def build():
    """Builds the programs of both sides."""
    if not target.FOREIGN:
        words, environment = ["@@default", "@bench/programs/all"], None
    else:
        words, environment = target.foreign_build(), cross.environment()
    subprocess.run(["dune", "build", *words], cwd=ROOT, env=environment, check=True)


def prepare():
    """Builds before the sandbox whatever needs the network, or takes long."""
    try:
        build()
        boot.prepare()
        network.prepare()
        disks.prepare()
        storage.prepare()
        unmodified.prepare()
        domains.prepare()
        if target.FOREIGN:
            return
        tcpip.prepare()
        processes.prepare()
        secure.prepare()
        display.prepare()
        machines.prepare()
        host.prepare()
        cpu.prepare()
        resp.prepare()
        exits.prepare()
    except peer.Missing as problem:
        sys.exit(f"error: {problem}")
    except FileNotFoundError as problem:
        sys.exit(f"error: {problem.filename} is not there; run: make build (and make setup once)")
    except subprocess.CalledProcessError as problem:
        sys.exit(
            f"error: {' '.join(map(str, problem.cmd))} failed with status {problem.returncode}"
        )


def measured(name, group, options):
    """A group's results, its missing figures, and the reason of a failure or None."""
    measure.Figure.made.clear()
    start.group = name
    try:
        figures = group(options)
    except Exception as problem:  # one broken group must not lose the others' figures
        print(f"{name}: {problem}", file=sys.stderr)
        reason = " ".join(f"{type(problem).__name__}: {problem}".replace("|", "/").split())
        return [], [figure.result() for figure in measure.Figure.made], reason[:80]
    results = [figure.result() for figure in figures]
    without = [each for each in results if not each["runs"]]
    return [each for each in results if each["runs"]], without, None


def omitted(name):
    """Why a group has no figures here, or None."""
    if target.FOREIGN and name in OMITTED:
        return OMITTED[name]
    return exits.missing() if name in exits.GROUPS else None


def merged(stored, new, asked, whole, run):
    """The stored results, updated with those of this run. `asked` has, by the name of each group of
    the run, the return value of `measured`; a figure that the run should have and lacks becomes
    missing. A `whole` run should have all figures. `run` has the run's date and commit."""
    found = {each["name"]: each for each in stored}
    known = {each["name"]: each for _, without, _ in asked.values() for each in without} | found
    groups = {name: each.get("group") for name, each in found.items()}
    for group, (_, without, _) in asked.items():
        groups |= {each["name"]: group for each in without}
    for name, group in groups.items():
        if whole or group in asked:
            _, _, reason = asked.get(group, ([], [], None))
            found[name] = measure.missing(known[name], reason or "the run had none")
            found[name] |= {**run, **({"group": group} if group else {})}
    found |= {each["name"]: each for each in new}
    return sorted(found.values(), key=lambda each: ORDER.index(each["name"]))


def commit():
    """The commit that is measured; with + where files differ from it."""
    words = ["git", "describe", "--always", "--abbrev=8", "--dirty=+", "--exclude=*"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    return done.stdout.strip() or "no repository"


def stored():
    try:
        with open(RESULTS, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return []


def write(results, machine):
    os.makedirs(os.path.dirname(RESULTS), exist_ok=True)
    with open(RESULTS, "w", encoding="utf-8") as file:
        rows = ",\n".join("  " + json.dumps(each) for each in results)
        file.write("[\n" + rows + "\n]\n")
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    head, rest = text.split(BEGIN, 1)
    _, tail = rest.split(END, 1)
    version = subprocess.run([qemu.QEMU, "--version"], capture_output=True, text=True).stdout.split(
        "\n"
    )[0]
    note = (
        f"Last run {datetime.date.today()}, {machine}, {os.cpu_count()} cores, {version}, TCG,"
        f" kernel of the peer: {peer.kernel_version()}; {start.summary()}."
    )
    with open(PAGE, "w", encoding="utf-8") as file:
        body = "\n".join([BEGIN, note, "", *measure.table(results), END])
        file.write(head + body + tail)


def draw(results):
    try:
        plots.draw(results, os.path.dirname(RESULTS))
    except FileNotFoundError as problem:
        sys.exit(
            f"error: no plots without {problem.filename}; run: make setup, then bench/plots.py"
        )


def main():
    options = arguments()
    if not os.environ.get(sandbox.MARK):
        prepare()
    sandbox.enter()
    console.raise_priority(-20)  # both sides alike: less disturbance from other load on the machine
    results = []
    asked = {}
    run = {"date": str(datetime.date.today()), "commit": commit()}
    for name, group in GROUPS.items():
        if options.only and name not in options.only:
            continue
        if reason := omitted(name):
            print(f"{name}: skipped: {reason}", flush=True)
            results += [row for row in stored() if row.get("group") == name]
            continue
        asked[name] = measured(name, group, options)
        for result in asked[name][0]:
            result |= {"group": name, **run}
            results.append(result)
            print("\n".join(measure.table([result])[2:]), flush=True)
        # After each group, so that an interrupted run keeps its measurements.
        write(merged(stored(), results, asked, False, run), options.machine)
    print(start.summary(), flush=True)
    results = merged(stored(), results, asked, not options.only, run)
    write(results, options.machine)
    if not target.FOREIGN:
        draw(results)
    failed = [name for name, (_, _, reason) in asked.items() if reason]
    if failed:
        sys.exit(f"error: no figures from {', '.join(failed)}")


if __name__ == "__main__":
    main()
