"""TLS: one server on Soil and on Linux (OCaml's ssl, OpenSSL), with OpenSSL and curl as clients."""

import os
import re
import subprocess

import network
import peer
import qemu
from boot import built, image, least_of_servers
from measure import Figure

PROGRAM = "bench/programs/tls/https.exe"
ORDER = """tls_handshakes_per_s tls_resumed_per_s tls_out_gbps tls_in_gbps image_bytes_https
min_ram_mib_https""".split()
# Concurrent clients: a single one would mostly wait.
CLIENTS = 4


def prepare():
    for machine, transport in peer.TRANSPORT.items():
        modules = transport + peer.NET
        peer.initramfs(f"https-{machine}", modules, built(f"_build/default/{PROGRAM}"))


def guests(options):
    """The two guests, as functions of a TAP and of MiB."""
    modules = peer.TRANSPORT[options.machine] + peer.NET
    archive = peer.work(f"https-{options.machine}.cpio")
    program = image(f"_build/soil/{PROGRAM}")
    return (
        lambda tap, mem=256: qemu.soil(program, [], options.machine, mem, tap),
        lambda tap, mem=256: qemu.linux(archive, modules, [], options.machine, mem, tap),
    )


def handshakes(host, seconds, *words):
    """Connections per second of CLIENTS clients that only connect."""
    command = ["openssl", "s_time", "-connect", f"{host}:443", "-time", str(round(seconds)), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    clients = [subprocess.Popen(command, **pipes) for _ in range(CLIENTS)]
    texts = [client.communicate(timeout=120)[0] for client in clients]
    rates = [re.search(r"(\d+) connections in (\d+) real seconds", text) for text in texts]
    if not all(rates):
        raise RuntimeError(f"openssl s_time: {texts}")
    return sum(int(rate[1]) / int(rate[2]) for rate in rates)


def curl(host, seconds, field, *words):
    """Gbit/s of one transfer, ended after a fixed time."""
    command = ["curl", "-sk", "-m", str(seconds), "-w", f"%{{{field}}}", "-o", "/dev/null"]
    done = subprocess.run(
        [*command, *words], capture_output=True, text=True, timeout=120, check=False
    )
    # 28: curl's status for a timeout.
    if done.returncode != 28:
        raise RuntimeError(f"curl: status {done.returncode}: {done.stderr}")
    return float(done.stdout) * 8 / 1e9


def tls(options):
    """Handshakes and resumptions of ECDSA P-256 in TLS 1.2, whose clients resume by themselves;
    one transfer each way in TLS 1.3; the program's size and its least memory."""
    full, resumed, out, into = (
        Figure(name, unit, "higher")
        for name, unit in zip(ORDER, ["handshakes/s"] * 2 + ["Gbit/s"] * 2)
    )
    size = Figure("image_bytes_https", "bytes", "lower")
    ram = Figure("min_ram_mib_https", "MiB", "lower")

    def work(host, _pid):
        url = f"https://{host}"
        upload = ["-T", "/dev/zero", "-H", "Expect:", f"{url}/sink"]
        return (
            handshakes(host, options.seconds, "-tls1_2", "-new"),
            handshakes(host, options.seconds, "-tls1_2", "-reuse"),
            curl(host, options.seconds, "speed_download", f"{url}/stream"),
            curl(host, options.seconds, "speed_upload", *upload),
        )

    both = guests(options)
    for _ in range(options.pairs):
        rates = [network.served(guest, work) for guest in both]
        for figure, ours, theirs in zip((full, resumed, out, into), *rates, strict=True):
            figure.add(ours, theirs)
    archive = peer.smallest_bytes(peer.work(f"https-{options.machine}.cpio"))
    size.add(os.path.getsize(image(f"_build/soil/{PROGRAM}")), archive)
    ram.add(*least_of_servers(both, "https://{}/"))
    return [full, resumed, out, into, size, ram]


GROUPS = {"tls": tls}
