"""Domains of OCaml on machines with two processors, Soil's and the peer's."""

import peer
import qemu
from boot import LINUX, SOIL, built, image
from measure import Figure
from network import served, wrk
from storage import results

PROCESSORS = 2
# The same work in one domain and in two: the name of the figure, and the number of rounds.
WORKS = {"compute": ("compute", 300), "collect": ("gc", 8000), "allocate": ("malloc", 20_000)}
# One after the other: the figure, and how often.
TURNS = {
    "minor": ("domain_minor_gc_us", 20_000),
    "spawn": ("domain_spawn_join_us", 2_000),
    "hand_over": ("futex_handover_us_2cpu", 100_000),
}
# What the second domain does beside the one that serves.
BESIDE = ("waiting", "collecting")
ORDER = [f"domain_speedup_2_{name}" for name, _ in WORKS.values()]
ORDER += ["malloc_2domains_per_s", *(name for name, _ in TURNS.values())]
ORDER += [f"http_share_beside_{kind}_domain" for kind in BESIDE]
ORDER += ["domain_minor_gc_times_alone", "http_rps_c64_2cpu"]
ORDER += [f"http_rps_c64_beside_{kind}_domain" for kind in BESIDE]
ORDER += [f"http_p99_ms_beside_{kind}_domain" for kind in BESIDE]


def prepare():
    for machine, transport in peer.TRANSPORT.items():
        for program in ("domains", "servers"):
            archive = f"{program}-{machine}"
            peer.initramfs(archive, transport + peer.NET, built(f"{LINUX}{program}.exe"))


def guests(options, *words, program="domains"):
    """Soil's and the peer's guest, as functions of a TAP or None."""
    modules = peer.TRANSPORT[options.machine] + peer.NET
    archive = peer.work(f"{program}-{options.machine}.cpio")
    program = image(f"{SOIL}{program}.exe")
    return (
        lambda tap=None: qemu.soil(program, words, options.machine, tap=tap, cpus=PROCESSORS),
        lambda tap=None: qemu.linux(
            archive, modules, words, options.machine, tap=tap, cpus=PROCESSORS
        ),
    )


def domains(options):
    """How much faster two domains do twice the work of one, on the same machine; and microseconds
    of a minor collection beside a domain that waits, of a domain's life, and of a turn that two
    domains take by a mutex and a condition."""
    figures = []
    malloc = Figure("malloc_2domains_per_s", "blocks/s", "higher")
    for kind, (name, count) in WORKS.items():
        figure = Figure(f"domain_speedup_2_{name}", "times one domain", "higher")
        figures.append(figure)
        for _ in range(options.pairs):
            pair = [results(guest()) for guest in guests(options, kind, str(count))]
            figure.add(*(2 * alone / both for alone, both in pair))
            if kind == "allocate":
                malloc.add(*(2 * count / both for _, both in pair))
    figures.append(malloc)
    beside = Figure("domain_minor_gc_times_alone", "times alone", "lower")
    for kind, (name, count) in TURNS.items():
        figure = Figure(name, "us", "lower")
        figures.append(figure)
        for _ in range(options.pairs):
            pair = [results(guest()) for guest in guests(options, kind, str(count))]
            figure.add(*(seconds[-1] * 1e6 / count for seconds in pair))
            if kind == "minor":
                beside.add(*(waiting / alone for alone, waiting in pair))
    return [*figures, beside]


def http(options):
    """Requests of 64 connections to two domains, or two processes; and to one domain beside a second
    one: their rate, also as a share of that without a second one, and the 99th percentile of their
    times in ms."""
    two = Figure("http_rps_c64_2cpu", "requests/s", "higher")
    shares = [Figure(f"http_share_beside_{kind}_domain", "share", "higher") for kind in BESIDE]
    rates = [
        Figure(f"http_rps_c64_beside_{kind}_domain", "requests/s", "higher") for kind in BESIDE
    ]
    times = [Figure(f"http_p99_ms_beside_{kind}_domain", "ms", "lower") for kind in BESIDE]

    def load(command):
        return served(command, lambda host, _pid: wrk(host, 64, options.seconds))

    for _ in range(options.pairs):
        two.add(*(load(guest)[0] for guest in guests(options, "80", program="servers")))
        alone = [load(guest)[0] for guest in guests(options, "alone", "80")]
        for kind, share, rate, time in zip(BESIDE, shares, rates, times, strict=True):
            both, tails = zip(*map(load, guests(options, kind, "80")), strict=True)
            share.add(*(beside / of for beside, of in zip(both, alone, strict=True)))
            rate.add(*both)
            time.add(*tails)
    return [two, *shares, *rates, *times]


GROUPS = {"domains": domains, "domains_http": http}
