"""Sockets to the host (Soil.Vsock). In images: virtio-vsock with rust-vmm's vhost-device-vsock, whose
host side are UNIX sockets. In processes: Linux's AF_VSOCK."""

import hashlib
import os
import re
import socket
import sys
import threading
import time

from harness.console import PATIENCE
from harness.context import FORMS, MACHINES, PROCESSOR, ROOT, SOIL, Skip, executable, outcome
from harness.runner import test

PROGRAM = "tests/programs/vsock/sockets.exe"
LINUX = "tests/programs/vsock/sockets_linux.exe"
MODULES = [
    "vsock",
    "vmw_vsock_virtio_transport_common",
    "vmw_vsock_virtio_transport",
    "vsock_loopback",
]
PORT = 1024
SIZE = 4 << 20
VISITED = ("echo true", "take true", "give true", "connections 100")


def pattern(size):
    """The program's bytes."""
    return bytes((at * 7 + (at // 251 & 255)) & 255 for at in range(size))


def daemon():
    found = os.path.join(
        os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")),
        "soil/vhost-device-vsock-0.3.0/bin/vhost-device-vsock",
    )
    if not os.path.exists(found):
        raise Skip("there is no vhost-device-vsock: tools/setup/setup.sh vhost-device-vsock")
    return found


class Line:
    """A connection that both sides speak the program's protocol on."""

    def __init__(self, connected):
        self.socket = connected
        self.socket.settimeout(PATIENCE)
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        return self.file.readline().decode().rstrip("\n")

    def take(self, size):
        data = self.file.read(size)
        assert len(data) == size, f"{len(data)} of {size} bytes"
        return data


class Host:
    """The host's side of a machine's sockets: a UNIX socket of the device."""

    def __init__(self, path):
        self.host = path

    def connect(self, port):
        """A connection from the host, whose port the device reports; None if it is refused."""
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(self.host)
        connection = Line(peer)
        connection.send(f"CONNECT {port}\n".encode())
        answer = connection.line()
        if not answer:
            connection.close()
            return None
        assert re.fullmatch(r"OK \d+", answer), answer
        return connection

    def serve(self, port):
        """Answers the machine's connections to a port of the host as the program does."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{self.host}_{port}")
        listener.listen(200)

        def work():
            while True:
                peer, _ = listener.accept()
                threading.Thread(target=answer, args=[Line(peer)], daemon=True).start()

        threading.Thread(target=work, daemon=True).start()


class Device(Host):
    """A vhost-user device with its two sockets, in the test's folder."""

    def __init__(self, context, name):
        super().__init__(context.path(f"{name}.host"))
        self.control = context.path(f"{name}.vm")
        words = ["--guest-cid", "3", "--socket", self.control, "--uds-path", self.host]
        self.child = context.child([daemon(), *words])
        until = time.monotonic() + PATIENCE
        while not os.path.exists(self.control):
            assert time.monotonic() < until, self.child.text
            time.sleep(0.02)


def answer(connection):
    """The host's answer to one connection. The device ends both directions when the host ends
    sending: each answer is complete before."""
    words = connection.line().split(" ")
    if words[0] == "echo":
        while data := connection.file.read1(4096):
            connection.send(data)
    elif words[0] == "take":
        digest = hashlib.md5(connection.take(int(words[1]))).hexdigest()
        connection.send(f"{digest}\n".encode())
        connection.file.read()
    elif words[0] == "give":
        connection.send(pattern(int(words[1])))
        connection.file.read()
    connection.close()


def start(context, form, *arguments, device):
    options = ["--vsock", device.control]
    return context.soil(PROGRAM, form, *arguments, options=options)


@test(limit=240)
def a_machine_and_itself(context):
    """Both ends in one program, by the loopback's CID: echoes, 4 MiB each way, a direction that
    ends alone, 100 connections, a refused one."""
    for form in FORMS:
        options = []
        if form == "process":
            try:
                socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).bind((1, 5000))
            except OSError as error:
                print(f"process: not run, the kernel has no vsock_loopback: {error}")
                continue
        else:
            options = ["--vsock", Device(context, form).control]
        status, output = outcome(context.soil(PROGRAM, form, "local", options=options), context)
        assert status == 0, output
        for line in (*VISITED, "half 100000"):
            assert line in output, f"{form}: {output}"
        assert re.search(r"refused: vsock connect 1:\d+: connection refused", output), output
        assert re.search(r"in use: vsock listen 1:\d+: address in use", output), output


@test(limit=240)
def the_machine_visits_the_host(context):
    """Echoes, 4 MiB each way with digests, 100 connections at a time, a port that nobody has."""
    for form in MACHINES:
        device = Device(context, form)
        device.serve(PORT)
        child = start(context, form, "host", str(PORT), device=device)
        status, output = outcome(child, context)
        assert status == 0, output
        for line in VISITED:
            assert line in output, f"{form}: {output}"
        # The device has no answer for a port that nobody has.
        assert f"refused: vsock connect 2:{PORT + 1}: timed out" in output, output


@test(limit=240)
def the_host_visits_the_machine(context):
    """The same with the machine's listener."""
    data = pattern(SIZE)
    digest = hashlib.md5(data).hexdigest()
    for form in MACHINES:
        device = Device(context, form)
        child = start(context, form, "serve", device=device)
        child.wait_line(f"serving at 3:{PORT}")
        connection = device.connect(PORT)
        connection.send(b"take %d\n" % SIZE + data)
        assert connection.line() == digest, f"{form}: other bytes arrived"
        assert connection.file.read() == b"", form
        connection.close()
        connection = device.connect(PORT)
        connection.send(b"give %d\n" % SIZE)
        assert connection.take(SIZE) == data, f"{form}: other bytes came"
        connection.close()
        many = [device.connect(PORT) for _ in range(100)]
        for number, connection in enumerate(many):
            connection.send(b"echo\n%d" % number)
        for number, connection in enumerate(many):
            text = b"%d" % number
            assert connection.take(len(text)) == text, f"{form}: connection {number}"
            connection.close()
        assert device.connect(PORT + 1) is None, f"{form}: nobody listens there"
        # What was closed leaves room for others.
        connection = device.connect(PORT)
        connection.send(b"echo\nstill here")
        assert connection.take(10) == b"still here", form
        connection.close()
        child.stop()


@test(limit=240)
def processes_in_a_linux_guest(context):
    """The process form on the AF_VSOCK of Debian's cloud kernel: itself, and the host."""
    if not os.path.isdir(os.path.expanduser("~/.cache/soil/linux")):
        raise Skip("there is no Linux kernel: tools/setup/setup.sh kernel")
    sys.path.insert(0, os.path.join(ROOT, "bench"))
    import peer  # pylint: disable=import-outside-toplevel
    import qemu  # pylint: disable=import-outside-toplevel

    modules = peer.TRANSPORT["microvm"] + MODULES
    archive = peer.initramfs("vsock", modules, executable(LINUX, "process"))
    for number, (arguments, lines) in enumerate(
        (
            (["local"], (*VISITED, "half 100000", "connection refused", "address in use")),
            (["host", str(PORT)], VISITED),
        )
    ):
        device = Device(context, f"linux-{number}")
        device.serve(PORT)
        run = ["MODS=" + ",".join(modules), "DEV=1", "RUN=" + ",".join(["/app", *arguments])]
        words = qemu.command(peer.kernel()[0], peer.command_line(run), initrd=archive)
        words += ["-object", "memory-backend-memfd,id=memory,size=256M,share=on"]
        words += ["-machine", "memory-backend=memory"]
        words += ["-chardev", f"socket,id=vsock,path={device.control}"]
        words += ["-device", "vhost-user-vsock-device,chardev=vsock"]
        _, output = outcome(context.child(words), context)
        for line in lines:
            assert line in output, f"{arguments[0]}: {output}"


@test(limit=180)
def a_device_that_is_killed(context):
    """A connection to the host ends with an error, and further ones fail: none waits for ever."""
    for form in MACHINES:
        device = Device(context, form)
        device.serve(PORT)
        child = start(context, form, "wait", str(PORT), device=device)
        child.wait_line("connected")
        device.child.process.kill()
        status, output = outcome(child, context)
        assert status == 0, output
        assert re.search(r"ended: .*: (timed out|connection reset)", output), output
        assert re.search(r"again: vsock connect 2:\d+: timed out", output), output


@test(limit=60)
def machines_without_a_device(context):
    """Each missing part has an error that names the remedy."""
    status, output = outcome(context.soil(PROGRAM, "microvm", "local"), context)
    remedy = "no vsock device: give the machine one (soil run --vsock)"
    assert status == 2 and remedy in output, output
    cases = [
        (["--vsock", "./none"], "start the device: vhost-device-vsock"),
        (["--vsock", "2"], "expected a CID of 3 or more"),
    ]
    if not os.path.exists("/dev/vhost-vsock"):
        cases.append((["--vsock", "3"], "modprobe vhost_vsock"))
    for options, text in cases:
        status, output = outcome(
            context.soil(PROGRAM, "microvm", "local", options=options), context
        )
        assert status != 0 and text in output, output
    status, output = outcome(
        context.soil(PROGRAM, "process", "local", options=["--vsock", "3"]), context
    )
    assert status != 0 and "--vsock is for images" in output, output


@test(limit=60)
def commands_of_launchers(context):
    """What other launchers get of the option."""
    image = executable(PROGRAM, "microvm")
    shown = [
        (["--vsock", "7"], "vhost-vsock-device,guest-cid=7"),
        (["--vsock", "./v"], "vhost-user-vsock-device,chardev=vsock"),
        (["--vsock", "./v", "--vmm", "firecracker"], '"guest_cid": 3'),
        (["--vsock", "./v", "--vmm", "cloud-hypervisor"], "--vsock cid=3,socket="),
    ]
    if PROCESSOR == "x86_64":
        words = ["--vsock", "7", "--machine", "q35"]
        shown.append((words, "vhost-vsock-pci-non-transitional,guest-cid=7"))
    for words, text in shown:
        done = context.run(SOIL, "run", image, "--dry-run", "--net", "none", *words)
        assert text in done.stdout, done.stdout
    done = context.run(SOIL, "run", image, "--dry-run=libvirt", "--net", "none", "--vsock", "7")
    assert "<cid auto='no' address='7'/>" in done.stdout, done.stdout
