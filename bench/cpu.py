"""HTTP beside computations that never yield: in Soil's pool and in its blocking calls; the peer's in
OCaml's threads, which change every 50 ms."""

import peer
import processes
import qemu
from boot import built, image
from measure import Figure
from network import served, wrk

IMAGE = "_build/soil/bench/programs/cpu/soil/beside.exe"
PROCESS = "_build/default/bench/programs/cpu/soil/beside.exe"
PEER = "_build/default/bench/programs/cpu/linux/beside.exe"
JOBS = 8
CONNECTIONS = 4
KINDS = {"cpu": "pool", "blocking": "blocking"}
ORDER = [f"{form}http_beside_{kind}_p99_ms" for form in ("", "host_") for kind in KINDS]


def prepare():
    for machine, transport in peer.TRANSPORT.items():
        peer.initramfs("cpu-" + machine, transport + peer.NET, built(PEER))


class Soil(processes.Soil):
    def __init__(self, kind):
        super().__init__(kind, JOBS)
        self.words[0] = built(PROCESS)


class Linux(processes.Linux):
    PROGRAM = PEER


def tail(host, seconds):
    return wrk(host, CONNECTIONS, seconds)[1]


def beside_image(options):
    figures = []
    modules = peer.TRANSPORT[options.machine] + peer.NET
    archive = peer.work(f"cpu-{options.machine}.cpio")

    def work(host, _pid):
        return tail(host, options.seconds)

    for name, kind in KINDS.items():
        figure = Figure(f"http_beside_{name}_p99_ms", "ms", "lower")
        figures.append(figure)
        words = [kind, str(JOBS)]
        both = (
            lambda tap: qemu.soil(image(IMAGE), words, options.machine, tap=tap),
            lambda tap: qemu.linux(archive, modules, words, options.machine, tap=tap),
        )
        for _ in range(options.pairs):
            figure.add(*(served(command, work) for command in both))
    return figures


def beside_process(options):
    figures = []
    for name, kind in KINDS.items():
        figure = Figure(f"host_http_beside_{name}_p99_ms", "ms", "lower")
        figures.append(figure)
        for _ in range(options.pairs):
            results = []
            for side in (Soil(kind), Linux(kind, JOBS)):
                with side:
                    results.append(tail(side.host, options.seconds))
            figure.add(*results)
    return figures


GROUPS = {"cpu": beside_image, "host_cpu": beside_process}
