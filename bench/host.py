"""What a machine's host asks of it: streams over vsock, with rust-vmm's vhost-device-vsock for both
sides, and freezes of an ext4 volume under write load by the guest agent.

The peer's agent is part of its program, and answers only these requests.
"""

import contextlib
import json
import os
import socket
import statistics
import tempfile
import time

import peer
import qemu
import storage
from boot import built, image
from harness.console import PATIENCE, Child
from measure import Figure
from start import said, started

IMAGE = "_build/soil/bench/programs/host/soil/guest.exe"
PEER = "_build/default/bench/programs/host/linux/guest.exe"
PORT = 1024
CHUNK = 1 << 20
FREEZES = 20
VSOCK = ["vsock", "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport"]
CONSOLE = ["virtio_console"]
ORDER = ["vsock_gbps", "vsock_in_gbps", "agent_freeze_ms"]


def modules(machine):
    return peer.TRANSPORT[machine] + VSOCK + CONSOLE + peer.DISK


def prepare():
    device()
    for machine in peer.TRANSPORT:
        peer.initramfs(f"host-{machine}", modules(machine), built(PEER))


def device():
    """The path of the vsock device, a process for each machine."""
    return peer.set_up("vhost-device-vsock")


def guests(options, words, disks=(None, None)):
    """The commands of the two guests."""
    program, archive = image(IMAGE), peer.work(f"host-{options.machine}.cpio")
    ours, theirs = disks
    soil = qemu.soil(program, words, options.machine, disk=ours)
    linux = qemu.linux(
        archive,
        modules(options.machine),
        words,
        options.machine,
        disk=theirs,
        mount=theirs and "ext4",
    )
    linux[linux.index("-append") + 1] += " DEV=1"
    return soil, linux


def connected(path, text=b""):
    """A connection to a UNIX socket that something opens soon."""
    until = time.monotonic() + PATIENCE
    while True:
        peer_socket = socket.socket(socket.AF_UNIX)
        peer_socket.settimeout(PATIENCE)
        try:
            peer_socket.connect(path)
            peer_socket.sendall(text)
            return peer_socket
        except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
            peer_socket.close()
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


def stream(command, machine, mode, seconds):
    """Gbit/s of one connection from the host; `mode` is the guest's."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        control, host = os.path.join(folder, "vm"), os.path.join(folder, "host")
        words = [device(), "--guest-cid", "3", "--socket", control, "--uds-path", host]
        stack.enter_context(Child(words))
        until = time.monotonic() + PATIENCE
        while not os.path.exists(control):
            if time.monotonic() > until:
                raise RuntimeError("vhost-device-vsock opens no socket")
            time.sleep(0.02)
        suffix = "device" if machine == "microvm" else "pci"
        words = [
            *("-object", "memory-backend-memfd,id=memory,size=256M,share=on"),
            *("-machine", "memory-backend=memory"),
            *("-chardev", f"socket,id=vsock,path={control}"),
            *("-device", f"vhost-user-vsock-{suffix},chardev=vsock"),
        ]
        # A device serves one machine: a peer that doesn't start is no figure.
        stack.enter_context(started([*command, *words], said("ready"), starts=1))
        line = stack.enter_context(connected(host, f"CONNECT {PORT}\n".encode()))
        answer = b""
        while not answer.endswith(b"\n"):
            if not (byte := line.recv(1)):
                raise RuntimeError("the guest refuses the connection")
            answer += byte
        return moved(line, mode, seconds) * 8 / 1e9


def moved(line, mode, seconds):
    """Bytes per second."""
    buffer, total, begin = bytearray(CHUNK), 0, time.monotonic()
    while (passed := time.monotonic() - begin) < seconds:
        total += line.recv_into(buffer) if mode == "give" else line.send(buffer)
    return total / passed


def vsock(options):
    figures = [
        Figure("vsock_gbps", "Gbit/s", "higher"),
        Figure("vsock_in_gbps", "Gbit/s", "higher"),
    ]
    for figure, mode in zip(figures, ("give", "take")):
        both = guests(options, [mode, str(PORT)])
        for _ in range(options.pairs):
            figure.add(*(stream(each, options.machine, mode, options.seconds) for each in both))
    return figures


def freezes(command, machine):
    """Milliseconds from a request to freeze to its answer, the median of a few."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        path = os.path.join(folder, "agent")
        suffix = "device" if machine == "microvm" else "pci"
        words = [
            *("-chardev", f"socket,path={path},server=on,wait=off,id=agent"),
            *("-device", f"virtio-serial-{suffix}"),
            *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
        ]
        stack.enter_context(started([*command, *words], said("ready")))
        line = stack.enter_context(connected(path))
        file = line.makefile("r", encoding="utf-8")

        def ask(what):
            line.sendall(json.dumps({"execute": f"guest-fsfreeze-{what}"}).encode() + b"\n")
            answer = json.loads(file.readline())
            if answer.get("return") != 1:
                raise RuntimeError(f"{what}: {answer}")

        times = []
        for _ in range(FREEZES):
            time.sleep(0.2)
            begin = time.monotonic()
            ask("freeze")
            times.append((time.monotonic() - begin) * 1000)
            ask("thaw")
        return statistics.median(times)


def agent(options):
    figure = Figure("agent_freeze_ms", "ms", "lower")
    for _ in range(options.pairs):
        disks = [storage.fresh(f"freeze-{side}", "ext4") for side in ("soil", "linux")]
        both = guests(options, ["load"], disks)
        figure.add(*(freezes(each, options.machine) for each in both))
    return [figure]


GROUPS = {"vsock": vsock, "agent": agent}
