"""Firecracker and Cloud Hypervisor themselves, where KVM answers and they are on PATH: `soil run
--vmm`, and what their own interfaces offer beyond it: snapshots, sockets, metadata, limits."""

import hashlib
import json
import os
import re
import shlex
import signal
import socket
import time

from cases import clones, initrd, services, tls, vsock, website
from cases.programs import expected
from harness import kvm
from harness.console import PATIENCE
from harness.context import SOIL, USED, Skip, clean, executable
from harness.runner import test

FIRECRACKER, CLOUD_HYPERVISOR = "firecracker", "cloud-hypervisor"
VMMS = (FIRECRACKER, CLOUD_HYPERVISOR)
ECHO = "examples/echo/main.exe"
TLS_SERVER = "tests/programs/tls/tls_server.exe"
NONE = ("--net", "none")


def need(vmm):
    if problem := kvm.monitor(vmm):
        raise Skip(problem)


def words(vmm, program, *arguments, options=NONE):
    """The words of `soil run` for this program on this monitor."""
    need(vmm)
    USED.add(program)
    command = [SOIL, "run", executable(program, "microvm"), "--vmm", vmm, *options]
    return [*command, "--", *arguments] if arguments else command


def run(context, vmm, program, *arguments, options=NONE):
    """The exit status and the console of a program that ends by itself."""
    child = context.child(words(vmm, program, *arguments, options=options))
    status = child.finish(context.remaining())
    return status, clean(child.text)


def networked(tap, *options):
    return ["--net", f"tap={tap.name}", "--ip", tap.guest_cidr, *options]


class Machine:
    """A monitor that the test starts by itself, with its API."""

    def __init__(self, context, name, command):
        self.context, self.socket = context, context.path(f"api-{name}")
        self.child = context.child([*command, self.socket])

    def ask(self, method, path, body=None):
        """The status and the answer to one request."""
        text = "" if body is None else json.dumps(body)
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
        until = time.monotonic() + PATIENCE
        while True:
            try:
                peer = socket.socket(socket.AF_UNIX)
                peer.connect(self.socket)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                peer.close()
                assert time.monotonic() < until, self.child.text
                time.sleep(0.05)
        with peer:
            peer.settimeout(PATIENCE)
            peer.sendall(f"{head}\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
            answer = b""
            while b"\r\n\r\n" not in answer:
                data = peer.recv(65536)
                assert data, f"{method} {path}: {answer}"
                answer += data
            head, _, rest = answer.partition(b"\r\n\r\n")
            length = re.search(rb"Content-Length: *(\d+)", head, re.IGNORECASE)
            while len(rest) < int(length[1] if length else 0):
                data = peer.recv(65536)
                assert data, f"{method} {path}: {answer}"
                rest += data
        return int(head.split()[1]), rest.decode()

    def order(self, method, path, body=None):
        status, answer = self.ask(method, path, body)
        assert 200 <= status < 300, f"{method} {path}: {status} {answer}\n{self.child.text}"
        return answer

    def kill(self):
        self.child.signal(signal.SIGKILL)
        self.child.finish(PATIENCE)


def start(context, vmm, name, program, *arguments, options=NONE, change=None):
    """Starts the monitor with what `soil run --dry-run` prints, changed: Firecracker's
    configuration, or the words for Cloud Hypervisor."""
    shown = context.run(*words(vmm, program, *arguments, options=[*options, "--dry-run"])).stdout
    if vmm == CLOUD_HYPERVISOR:
        command = shlex.split(shown.replace("\\\n", " "))
        command[command.index("tty", command.index("--serial"))] = f"file={context.path(name)}"
        if change:
            change(command)
        machine = Machine(context, name, [*command, "--api-socket"])
        machine.console = context.path(name)
        return machine
    configuration = json.loads(shown)
    if change:
        change(configuration)
    file = context.path(f"{name}.json")
    with open(file, "w", encoding="utf-8") as output:
        json.dump(configuration, output)
    log = ["--log-path", context.path(f"{name}.log"), "--level", "Error"]
    more = configuration.pop("options", [])
    return Machine(context, name, [vmm, *more, *log, "--config-file", file, "--api-sock"])


def console(machine):
    """What the machine has printed."""
    path = getattr(machine, "console", None)
    if path is None:
        machine.child.drain(0.1)
        return clean(machine.child.text)
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as file:
        return clean(file.read())


def wait_text(machine, pattern, count=1):
    """The first `count` matches of a pattern on the console."""
    until = time.monotonic() + PATIENCE
    while len(found := re.findall(pattern, text := console(machine))) < count:
        assert time.monotonic() < until, f"no {pattern}: {text}\n{machine.child.text}"
        time.sleep(0.1)
    return found[:count]


def snapshot(machine, vmm):
    """Stops the machine and writes a snapshot; returns its place."""
    place = machine.context.path("snapshot")
    if vmm == FIRECRACKER:
        machine.order("PATCH", "/vm", {"state": "Paused"})
        files = {"snapshot_path": place, "mem_file_path": f"{place}.memory"}
        machine.order("PUT", "/snapshot/create", {"snapshot_type": "Full", **files})
    else:
        os.mkdir(place)
        machine.order("PUT", "/api/v1/vm.pause")
        machine.order("PUT", "/api/v1/vm.snapshot", {"destination_url": f"file://{place}"})
    machine.kill()
    return place


def restored(context, vmm, name, place):
    """A machine that goes on from the snapshot."""
    if vmm == FIRECRACKER:
        log = ["--log-path", context.path(f"{name}.log"), "--level", "Error"]
        machine = Machine(context, name, [vmm, *log, "--api-sock"])
        backend = {"backend_path": f"{place}.memory", "backend_type": "File"}
        body = {"snapshot_path": place, "mem_backend": backend, "resume_vm": True}
        machine.order("PUT", "/snapshot/load", body)
        return machine
    # The console's file is in the snapshot.
    with open(os.path.join(place, "config.json"), encoding="utf-8") as file:
        configuration = json.load(file)
    configuration["serial"]["file"] = context.path(name)
    with open(os.path.join(place, "config.json"), "w", encoding="utf-8") as file:
        json.dump(configuration, file)
    source = f"source_url=file://{place}"
    machine = Machine(context, name, [vmm, "--restore", source, "--api-socket"])
    machine.console = context.path(name)
    until = time.monotonic() + PATIENCE
    while machine.ask("PUT", "/api/v1/vm.resume")[0] not in (200, 204):
        assert time.monotonic() < until, machine.child.text
        time.sleep(0.2)
    return machine


def press(machine, vmm):
    """Asks the machine to stop."""
    if vmm == FIRECRACKER:
        machine.order("PUT", "/actions", {"action_type": "SendCtrlAltDel"})
    else:
        machine.order("PUT", "/api/v1/vm.power-button")


def register(vmm):
    @test(f"{vmm}-programs", limit=120, long=True)
    def programs(context):
        """Output, arguments and statuses; a crash with names; a machine with two and with four
        processors, and domains on them."""
        assert run(context, vmm, "examples/hello/main.exe") == (0, "Hello World!\n")
        status, text = run(context, vmm, "exit_status", "7")
        assert (status, text) == (7, "leaving with 7\nat_exit runs\n"), text
        status, text = run(context, vmm, "aborts")
        assert status == 134 and "crashed: the program ended itself by SIGABRT" in text, text
        for count in (2, 4):
            options = [*NONE, "--cpus", str(count), "--mem", "192M"]
            program = "tests/programs/processors/processors.exe"
            status, text = run(context, vmm, program, options=options)
            assert (status, f"{count} identities" in text) == (0, True), text

    @test(f"{vmm}-echo", limit=120, long=True)
    def echo(context):
        """Echo by TCP on a TAP, on one and two processors; SIGTERM to `soil run` stops it in
        order."""
        for options in ([], ["--cpus", "2", "--mem", "128M"]):
            tap = context.tap()
            child = context.child(words(vmm, ECHO, options=networked(tap, *options)))
            child.wait_line("listen")
            context.load("copy", tap.guest, 7, 300_000)
            child.signal(signal.SIGTERM)
            status = child.finish(context.remaining())
            assert status == 143 and "did not stop" not in child.text, f"{status}: {child.text}"

    @test(f"{vmm}-disks", limit=180, long=True)
    def disks(context):
        """A web server with its files on a FAT disk; a file on ext4 that SIGTERM left whole."""
        tap = context.tap()
        image = website.disk_with(context, {"two words.txt": b"spaced\n"})
        options = networked(tap, "--disk", f"www={image},ro")
        child = context.child(words(vmm, "examples/website/main.exe", options=options))
        child.wait_line("http://")
        website.same_pages(context, f"http://{tap.guest}")
        child.signal(signal.SIGTERM)
        assert child.finish(context.remaining()) == 143, child.text
        disk = context.path("data.img")
        context.run(SOIL, "disk", "make", disk, "--size", "16M", "--fs", "ext4")
        options = [*NONE, "--disk", f"data={disk}"]
        files = "tests/programs/unmodified/files.exe"
        child = context.child(words(vmm, files, "leave", "/data/left", options=options))
        child.wait_line("written")
        child.signal(signal.SIGTERM)
        assert child.finish(context.remaining()) == 143, child.text
        assert context.run("debugfs", "-R", "cat left", disk).stdout == "/data/left"

    @test(f"{vmm}-initrd", limit=120, long=True)
    def files(context):
        """The files of an initrd."""
        path = context.path("initrd")
        with open(path, "wb") as file:
            file.write(initrd.archive({"/etc/app/settings": b"a=1\n"}))

        def change(given):
            if vmm == FIRECRACKER:
                given["boot-source"]["initrd_path"] = path
            else:
                given += ["--initramfs", path]

        shown = '/etc/app/settings: "a=1\\n"\n'
        arguments = ("/etc/app/settings",)
        machine = start(
            context, vmm, "files", initrd.CONTENTS, *arguments, options=NONE, change=change
        )
        wait_text(machine, re.escape(shown))
        machine.child.finish(context.remaining())

    @test(f"{vmm}-signals", limit=120, long=True)
    def signals(context):
        """Handlers of signals, masks, and the end by a signal."""
        status, text = run(context, vmm, "signals", "itself")
        assert (status, text) == (138, expected("signals")), (status, text)

    @test(f"{vmm}-tls", limit=240, long=True)
    def secure(context):
        """Handshakes of TLS 1.3 and 1.2, and 10 kB each way; SIGTERM ends the server."""
        folder = tls.certificates(context)
        inside, disk = services.folder_of(context, "microvm", folder)
        tap = context.tap()
        options = networked(tap, *disk, "--mem", "128M")
        child = context.child(words(vmm, TLS_SERVER, inside, options=options))
        child.wait_line("ready")
        tap.wait_up()
        curl = ["curl", "-sS", "--cacert", f"{folder}/authority.pem"]
        sent = context.path("sent")
        with open(sent, "w", encoding="ascii") as file:
            file.write(tls.LARGE[:10_000])
        for name, port, option, facts in (
            ("soil.test", 8443, "--alpn", "1.3 http/1.1 full -\n"),
            ("other.test", 8445, "--no-alpn", "1.2 - full -\n"),
        ):
            at = [*curl, option, "--resolve", f"{name}:{port}:{tap.guest}"]
            url = f"https://{name}:{port}"
            assert context.run(*at, f"{url}/facts").stdout == facts
            answer = context.run(*at, "--data-binary", f"@{sent}", f"{url}/").stdout
            assert answer == tls.LARGE[:10_000].upper(), len(answer)
        child.signal(signal.SIGTERM)
        assert child.finish(context.remaining()) == 143, child.text

    @test(f"{vmm}-clones", limit=240, long=True)
    def clones_of_one_snapshot(context):
        """Two machines restored from one snapshot draw different numbers, give the time of day, use
        new keys of sequence numbers, and stop at the button."""
        tap = context.tap()
        options = networked(tap)
        original = start(context, vmm, "original", clones.PROGRAM, options=options)
        wait_text(original, r"drawn", 3)
        tap.wait_up()
        sequences = [[clones.sequence(tap, port) for port in clones.PORTS]]
        place = snapshot(original, vmm)
        numbers = []
        for name in ("one", "other"):
            tap.wait_free()
            machine = restored(context, vmm, name, place)
            # The first may have been drawn before the snapshot, and printed after it.
            numbers.append(wait_text(machine, r"drawn ([0-9a-f]{16})\s", 11)[1:])
            times = [float(each) for each in wait_text(machine, r"time ([0-9.]+)\s", 10)]
            assert abs(time.time() - times[-1]) < PATIENCE, (time.time(), times)
            tap.wait_up()
            sequences.append([clones.sequence(tap, port) for port in clones.PORTS])
            press(machine, vmm)
            machine.child.finish(context.remaining())
        assert not set(numbers[0]) & set(numbers[1]), f"clones drew the same: {numbers}"
        for index in range(3):
            one, other = sequences[index], sequences[(index + 1) % 3]
            assert clones.distant(one, other), f"sequence numbers of one key: {sequences}"

    @test(f"{vmm}-sockets", limit=240, long=True)
    def sockets(context):
        """Sockets to the host: both directions with digests; after a restore the connection that
        was open has ended, and the listener answers."""
        path = context.path("vsock")
        host = vsock.Host(path)
        machine = start(
            context, vmm, "first", vsock.PROGRAM, "serve", options=[*NONE, "--vsock", path]
        )
        wait_text(machine, f"serving at 3:{vsock.PORT}")
        exchange(host)
        open_before = host.connect(vsock.PORT)
        open_before.send(b"echo\nbefore")
        assert open_before.take(6) == b"before"
        place = snapshot(machine, vmm)
        assert open_before.file.read() == b""
        open_before.close()
        os.unlink(path)
        machine = restored(context, vmm, "again", place)
        exchange(host)
        press(machine, vmm)
        machine.child.finish(context.remaining())


def exchange(host):
    """100 kB each way on the machine's listener."""
    data = vsock.pattern(100_000)
    connection = host.connect(vsock.PORT)
    connection.send(b"take %d\n" % len(data) + data)
    assert connection.line() == hashlib.md5(data).hexdigest()
    connection.close()
    connection = host.connect(vsock.PORT)
    connection.send(b"give %d\n" % len(data))
    assert connection.take(len(data)) == data
    connection.close()


@test(limit=120, long=True)
def firecracker_with_limits(context):
    """Rate limiters, a balloon, an entropy device with a limit, and PCI: echo by TCP goes on."""
    limit = {"bandwidth": {"size": 1_000_000, "refill_time": 100}}
    for more in ([], ["--enable-pci"]):

        def change(configuration, more=more):
            card = configuration["network-interfaces"][0]
            card |= {"rx_rate_limiter": limit, "tx_rate_limiter": limit}
            configuration["entropy"] = {"rate_limiter": limit}
            configuration["balloon"] = {"amount_mib": 0, "deflate_on_oom": True}
            configuration["options"] = more

        tap = context.tap()
        name = f"limited{len(more)}"
        machine = start(context, FIRECRACKER, name, ECHO, options=networked(tap), change=change)
        machine.child.wait_line("listen")
        context.load("copy", tap.guest, 7, 300_000)
        # An image has no driver for it.
        assert "not activated" in machine.ask("PATCH", "/balloon", {"amount_mib": 8})[1]
        body = {"iface_id": "net0", "rx_rate_limiter": limit}
        machine.order("PATCH", "/network-interfaces/net0", body)
        context.load("copy", tap.guest, 7, 300_000)
        press(machine, FIRECRACKER)
        assert machine.child.finish(context.remaining()) == 0, machine.child.text


@test(limit=120, long=True)
def firecracker_metadata(context):
    """Firecracker's metadata service, in both versions: identifier, host name and user data."""
    for version in ("V1", "V2"):

        def change(configuration, version=version):
            configuration["mmds-config"] = {
                "version": version,
                "network_interfaces": ["net0"],
                "imds_compat": True,
            }

        tap = context.tap()
        options = networked(tap, "--gateway", tap.host, "--env", "SOIL_METADATA=ec2")
        program = "tests/programs/soil/instance.exe"
        machine = start(context, FIRECRACKER, version, program, options=options, change=change)
        latest = {
            "meta-data": {"instance-id": "i-77", "local-hostname": "clone"},
            "user-data": "a=b",
        }
        machine.order("PUT", "/mmds", {"latest": latest})
        machine.child.finish(context.remaining())
        for text in ("id: i-77", "host name: clone", "user data: 3 bytes"):
            assert text in machine.child.text, machine.child.text


@test(limit=180, long=True)
def live_changes_break_nothing(context):
    """Disks, cards, processors and memory that are added to or taken from a running machine, which
    uses none of them: it answers on."""
    tap, other = context.tap(), context.tap()
    disk = context.path("more.img")
    context.run(SOIL, "disk", "make", disk, "--size", "1M", "--fs", "fat")

    def change(command):
        command[command.index("--cpus") + 1] = "boot=1,max=4"
        command[command.index("--memory") + 1] = "size=128M,hotplug_size=256M"

    machine = start(
        context, CLOUD_HYPERVISOR, "changing", ECHO, options=networked(tap), change=change
    )
    wait_text(machine, "listen")
    api = "/api/v1/vm."
    for path, body in (
        ("resize", {"desired_vcpus": 2}),
        ("resize", {"desired_ram": 256 << 20}),
        ("add-disk", {"path": disk, "id": "more", "image_type": "Raw"}),
        ("add-net", {"tap": other.name, "id": "other"}),
        ("remove-device", {"id": "more"}),
        ("remove-device", {"id": "other"}),
        ("resize", {"desired_vcpus": 1}),
    ):
        status, answer = machine.ask("PUT", api + path, body)
        assert status in (200, 204), f"{path} {body}: {status} {answer}"
        context.load("copy", tap.guest, 7, 100_000)
    press(machine, CLOUD_HYPERVISOR)
    machine.child.finish(context.remaining())


for each in VMMS:
    register(each)
