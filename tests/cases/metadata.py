"""The machine's metadata: disks made by cloud-localds, xorriso and mtools, metadata services, and
hostile ones of both."""

import http.server
import json
import os
import shutil
import subprocess
import threading

from cases.addresses import echo
from cases.disk_images import tools
from harness.context import FORMS, MACHINES, Skip, clean
from harness.runner import test
from harness.tap import ip

PROGRAM = "tests/programs/soil/instance.exe"
ECHO = "examples/echo/main.exe"

USER_DATA = """\
#cloud-config
# For a Linux distribution, and ignored.
users: [default]
soil:
  arguments: [serve, "two words"]
  environment:
    serve: from metadata
  files:
    - path: site/index.html
      content: |
        <h1>hello</h1>
    - path: key
      encoding: b64
      content: AAEC
"""
SECTION = f"""\
user data: {len(USER_DATA)} bytes
argument: serve
argument: two words
variable: serve=from metadata
file site/index.html: <h1>hello</h1>\\n
file key: \\000\\001\\002
"""
IGNORED = "ignored: cloud-config keys that are not Soil's: users"


def needs(*commands):
    for command in commands:
        if shutil.which(command, path=tools()["PATH"]) is None:
            raise Skip(f"there is no {command}: tools/setup/setup.sh installs it")


def write(context, name, text):
    path = context.path(name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    return path


def network_config(tap, version=2):
    """Addresses of the guest's end of a TAP, for its only device."""
    if version == 1:
        return (
            "version: 1\nconfig:\n- type: physical\n  name: eth0\n  subnets:\n"
            f"  - type: static\n    address: {tap.guest}\n    netmask: 255.255.255.0\n"
            f"    gateway: {tap.host}\n"
        )
    return (
        f"version: 2\nethernets:\n  eth0:\n    addresses: [{tap.guest_cidr}]\n"
        f"    routes: [{{to: default, via: {tap.host}}}]\n"
    )


def nocloud(context, network=None, user_data=USER_DATA):
    """A NoCloud disk made by `cloud-localds`."""
    needs("cloud-localds", "genisoimage")
    seed = context.path("seed.img")
    words = ["cloud-localds"]
    if network:
        words.append("--network-config=" + write(context, "network", network))
    user_data = write(context, "user", user_data)
    meta_data = write(context, "meta", "instance-id: iid-local01\nlocal-hostname: web-1\n")
    context.run(*words, seed, user_data, meta_data, env=tools())
    return seed


def config_drive(context, tap):
    """A config drive with the files of cloud-init's tests, by `xorriso`."""
    needs("xorriso")
    meta_data = {
        "availability_zone": "nova",
        "hostname": "sm-foo-test.novalocal",
        "name": "sm-foo-test",
        "uuid": "b0fa911b-69d4-4476-bbe2-1c92bff6535c",
    }
    network = {
        "links": [{"id": "tap1", "type": "ovs", "ethernet_mac_address": "52:54:00:12:34:56"}],
        "networks": [
            {
                "id": "network0",
                "type": "ipv4",
                "link": "tap1",
                "ip_address": tap.guest,
                "netmask": "255.255.255.0",
                "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": tap.host}],
            }
        ],
        "services": [],
    }
    for name, text in (
        ("meta_data.json", json.dumps(meta_data)),
        ("network_data.json", json.dumps(network)),
        ("user_data", USER_DATA),
    ):
        write(context, f"drive/openstack/latest/{name}", text)
    seed = context.path("config.iso")
    words = ["xorriso", "-as", "mkisofs", "-V", "config-2", "-J", "-r", "-o", seed]
    context.run(*words, context.path("drive"))
    return seed


def fat(context, tap):
    """A NoCloud disk made by mtools, in a partition of a disk."""
    needs("mformat", "sfdisk")
    inner = context.path("inner.img")
    with open(inner, "wb") as file:
        file.truncate(4 << 20)
    context.run("mformat", "-i", inner, "-v", "CIDATA", "::", env=tools())
    files = {
        "meta-data": "instance-id: iid-local01\nlocal-hostname: web-1\n",
        "user-data": USER_DATA,
        "network-config": network_config(tap, 1),
    }
    for name, text in files.items():
        path = write(context, f"fat/{name}", text)
        context.run("mcopy", "-i", inner, path, f"::{name}", env=tools())
    disk = context.path("disk.img")
    with open(disk, "wb") as file, open(inner, "rb") as contents:
        file.truncate(8 << 20)
        file.seek(1 << 20)
        file.write(contents.read())
    table = "label: gpt\nstart=2048, size=8192, name=seed\n"
    subprocess.run(
        ["sfdisk", "--quiet", disk], input=table, text=True, check=True, capture_output=True,
        env=tools(),
    )  # fmt: skip
    return disk


def described(source, name, identifier):
    return f"source: {source}\nid: {identifier}\nhost name: {name}\n{SECTION}"


NOCLOUD = described("nocloud", "web-1", "iid-local01")
CONFIG_DRIVE = described(
    "config-drive", "sm-foo-test.novalocal", "b0fa911b-69d4-4476-bbe2-1c92bff6535c"
)
ARGUMENTS = "argv: serve\nargv: two words\nenv serve: from metadata\nready\n"


def check_machine(context, form, seed, tap, expected):
    """The machine has the disk's metadata, arguments, variables and addresses."""
    options = ["--disk", f"seed={seed},ro"]
    child = context.soil(PROGRAM, form, options=options, tap=tap, dhcp=True)
    child.wait_line("ready")
    assert expected + ARGUMENTS in clean(child.text), child.text
    assert IGNORED in child.text, child.text
    assert echo(tap.guest, 7, b"by metadata") == b"by metadata"


def on_machines(function):
    """Registers a test of a disk for each machine."""
    for form in MACHINES:

        def one(context, form=form):
            function(context, form)

        one.__module__, one.__doc__ = function.__module__, function.__doc__
        test(f"{function.__name__.replace('_', '-')}-{form}")(one)
    return function


@on_machines
def nocloud_iso(context, form):
    """A NoCloud disk by cloud-localds: identity, arguments, environment, files and addresses."""
    tap = context.tap()
    check_machine(context, form, nocloud(context, network_config(tap)), tap, NOCLOUD)


@on_machines
def config_drive_iso(context, form):
    """A config drive by xorriso, with OpenStack's network_data.json for the device's address."""
    tap = context.tap()
    check_machine(context, form, config_drive(context, tap), tap, CONFIG_DRIVE)


@on_machines
def nocloud_fat(context, form):
    """A NoCloud disk by mtools, in a GPT partition, with a network configuration of version 1."""
    tap = context.tap()
    check_machine(context, form, fat(context, tap), tap, NOCLOUD)


@test("drive-of-virtio-scsi")
def drive_of_virtio_scsi(context):
    """The drive for discs that Proxmox VE and OpenStack give a machine, at virtio-scsi."""
    seed = nocloud(context)
    drive = ["virtio-scsi-pci", "scsi-cd,drive=seed"]
    words = [word for device in drive for word in ("-device", device)]
    words += ["-drive", f"file={seed},format=raw,if=none,id=seed,media=cdrom"]
    options = [f"--qemu-arg={word}" for word in words]
    child = context.soil(PROGRAM, "q35", options=options)
    child.wait_line("ready")
    assert NOCLOUD + ARGUMENTS in clean(child.text), child.text


@test("fat-in-a-program-without-files")
def fat_without_files(context):
    """A program that uses the network only reads FAT, labelled in the root directory only (as
    Windows does)."""
    tap = context.tap()
    disk = fat(context, tap)
    with open(disk, "r+b") as file:
        file.seek((1 << 20) + 43)
        assert file.read(11) == b"CIDATA     ", "the boot sector's label"
        file.seek((1 << 20) + 43)
        file.write(b"NO NAME    ")
    options = ["--disk", f"seed={disk},ro"]
    child = context.soil(ECHO, "microvm", "7", options=options, tap=tap, dhcp=True)
    child.wait_line("echo listens on")
    assert IGNORED in child.text, child.text
    assert echo(tap.guest, 7, b"by metadata") == b"by metadata"


def run(context, form, seed, *arguments, options=()):
    """The output of the program with a disk (or the file, in a process), and its status."""
    options = [*options]
    if form == "process":
        options += ["--env", f"SOIL_METADATA={seed}"]
    else:
        options += ["--disk", f"seed={seed},ro"]
    child = context.soil(PROGRAM, form, *arguments, options=options)
    return child.finish(context.remaining()), clean(child.text)


@test("same-in-both-forms")
def same_in_both_forms(context):
    """`Soil.Instance` is the same in a process, which changes neither arguments nor environment."""
    seed = nocloud(context, user_data=USER_DATA.replace("serve, ", ""))
    expected = NOCLOUD.replace("argument: serve\n", "").replace(
        f"{len(USER_DATA)}", f"{len(USER_DATA) - 7}"
    )
    for form in FORMS:
        status, text = run(context, form, seed)
        argv = "" if form == "process" else "argv: two words\n"
        assert status == 0 and expected + argv in text, f"{form}: {text}"
        assert IGNORED in text, f"{form}: {text}"
        _, text = run(context, form, seed, "own")
        assert expected + "argv: own\n" in text, f"{form}: {text}"


@test("explicit-settings-win")
def explicit_settings_win(context):
    """The command line's addresses, arguments and variables take precedence; `SOIL_METADATA=none`
    leaves the disk alone, and a disk without a label isn't touched."""
    tap = context.tap()
    seed = nocloud(context, network_config(tap).replace(tap.guest, "192.0.2.7"))
    options = ["--disk", f"seed={seed},ro", "--env", "serve=own"]
    child = context.soil(PROGRAM, "microvm", "serve", options=options, tap=tap)
    child.wait_line("ready")
    assert "argv: serve\nenv serve: own\nready" in clean(child.text), child.text
    assert echo(tap.guest, 7, b"explicit") == b"explicit"
    child.stop()
    _, text = run(context, "microvm", seed, options=["--env", "SOIL_METADATA=none"])
    assert text == "no metadata\n", text
    blank = write(context, "blank", bytes(1 << 20))
    _, text = run(context, "microvm", blank)
    assert text == "no metadata\n", text


@test("hostile-disks", limit=120)
def hostile_disks(context):
    """Documents that lie: each is ignored with one line, and the program runs."""
    cases = [
        ("#!/bin/sh\nreboot\n", "a script (#!) in user data"),
        ("#cloud-config\nsoil: {files: [{path: ../../etc/passwd}]}\n", "is not a path relative"),
        ("#cloud-config\nsoil: {environment: {SOIL_METADATA: auto}}\n", "is not a variable that"),
        ("#cloud-config\nsoil: " + "[" * 5000 + "\n", "too many collections in collections"),
        ("#cloud-config\nsoil: &a [*a, *a]\n", "anchors, aliases and tags are not supported"),
        ("#cloud-config\nsoil:\n  arguments: [" + "a, " * 3000 + "]\n", "more than 256 entries"),
        ("#cloud-config\nsoil:\n  arguments: ['" + "a" * 99000 + "']\n", "more than 64 KiB"),
        (b"#cloud-config\nsoil: \xff\n", "not UTF-8"),
        ("a" * 300_000, "at most 256 KiB are supported"),
    ]
    for number, (user_data, expected) in enumerate(cases):
        seed = nocloud(context, user_data=user_data)
        form = FORMS[number % len(FORMS)]
        status, text = run(context, form, seed)
        assert status == 0 and expected in text, f"{form}: {user_data[:60]}: {text}"
        assert "argv" not in text and "variable:" not in text, text


@test("damaged-disks", limit=240)
def damaged_disks(context):
    """A machine whose labelled disk is cut short or overwritten starts all the same."""
    seed = nocloud(context)
    with open(seed, "rb") as file:
        whole = file.read()
    damaged = {
        "no root directory": whole[:40960] + bytes(len(whole) - 40960),
        "cut short": whole[:40960],
        "ones": whole[: 17 * 2048] + b"\xff" * (len(whole) - 17 * 2048),
    }
    for what, contents in damaged.items():
        path = write(context, "damaged", contents)
        status, text = run(context, "microvm", path)
        assert status == 0 and "no metadata" in text, f"{what}: {text}"
        assert "disk seed: the disk labelled cidata: " in text, f"{what}: {text}"


class Service:
    """A metadata service at 169.254.169.254 of a TAP: answers by path, from a list that is used up
    for those that change."""

    def __init__(self, context, tap, answers):
        self.requests = []
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                service.answer(self, answers)

            do_PUT = do_GET

            def log_message(self, *_):
                """No log: the requests are kept."""

        ip("addr", "add", "169.254.169.254/32", "dev", tap.name)
        server = http.server.ThreadingHTTPServer(("169.254.169.254", 80), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        context._closing.append(server.shutdown)

    def answer(self, handler, answers):
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.requests.append((handler.command, handler.path, headers))
        answer = answers.get(handler.path, 404)
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if callable(answer):
            answer = answer(headers)
        if isinstance(answer, bytes):
            # A whole response, as it is sent.
            handler.wfile.write(answer)
            handler.close_connection = True
            return
        status, body = (answer, "") if isinstance(answer, int) else (200, answer)
        handler.send_response(status)
        if "metadata-flavor" in headers:
            handler.send_header("Metadata-Flavor", "Google")
        handler.send_header("Content-Length", str(len(body.encode())))
        handler.end_headers()
        handler.wfile.write(body.encode())


def with_token(text):
    """An answer for requests with the token."""
    return lambda headers: text if headers.get("x-aws-ec2-metadata-token") == "TOKEN==" else 401


# The answers of cloud-init's unit tests (tests/unittests/sources), with this user data.
EC2 = {
    "/latest/api/token": lambda headers: (
        "TOKEN==" if headers.get("x-aws-ec2-metadata-token-ttl-seconds") == "21600" else 400
    ),
    "/latest/meta-data/instance-id": with_token("i-0a33f80f09c96477f"),
    "/latest/meta-data/local-hostname": with_token("ip-172-3-3-15.us-east-2.compute.internal"),
    "/latest/user-data": with_token(USER_DATA),
}
# OpenStack's imitation of EC2.
EC2_WITHOUT_TOKENS = {
    "/latest/meta-data/instance-id": "i-00000001",
    "/latest/meta-data/local-hostname": "sm-foo-test.novalocal",
    "/latest/user-data": USER_DATA,
}
GCE = {
    "/computeMetadata/v1/instance/id": [503, "123"],
    "/computeMetadata/v1/instance/hostname": "server.project-foo.local",
    "/computeMetadata/v1/instance/attributes/user-data": USER_DATA,
}
OPENSTACK = {
    "/openstack/latest/meta_data.json": json.dumps(
        {
            "availability_zone": "nova",
            "files": [{"content_path": "/content/0000", "path": "/etc/foo.cfg"}],
            "hostname": "sm-foo-test.novalocal",
            "meta": {"dsmode": "local", "my-meta": "my-value"},
            "name": "sm-foo-test",
            "uuid": "b0fa911b-69d4-4476-bbe2-1c92bff6535c",
        }
    ),
    "/openstack/latest/user_data": USER_DATA,
}
HETZNER = {
    "/hetzner/v1/metadata/instance-id": "123456",
    "/hetzner/v1/metadata/hostname": "cloudinit-test",
    "/hetzner/v1/userdata": USER_DATA,
}
DIGITALOCEAN = {
    "/metadata/v1.json": json.dumps(
        {
            "droplet_id": "22532410",
            "hostname": "utl-96268",
            "vendor_data": "vendordata goes here",
            "user_data": USER_DATA,
            "public_keys": "",
            "region": "nyc3",
            "interfaces": {"public": []},
        }
    )
}
SERVICES = {
    "ec2": (EC2, "ip-172-3-3-15.us-east-2.compute.internal", "i-0a33f80f09c96477f"),
    "gce": (GCE, "server", "123"),
    "openstack": (
        OPENSTACK, "sm-foo-test.novalocal", "b0fa911b-69d4-4476-bbe2-1c92bff6535c"
    ),
    "hetzner": (HETZNER, "cloudinit-test", "123456"),
    "digitalocean": (DIGITALOCEAN, "utl-96268", "22532410"),
}  # fmt: skip


def asks(context, form, service, tap, wait="ready"):
    """A machine whose command line names the service."""
    options = ["--env", f"SOIL_METADATA={service}"]
    child = context.soil(PROGRAM, form, options=options, tap=tap)
    child.wait_line(wait)
    return child


def register_services():
    """A test for each service."""
    for number, service in enumerate(SERVICES):

        def one(context, service=service, form=MACHINES[number % len(MACHINES)]):
            answers, name, identifier = SERVICES[service]
            tap = context.tap()
            Service(context, tap, answers)
            child = asks(context, form, service, tap)
            expected = described(service, name, identifier) + ARGUMENTS
            assert expected in clean(child.text), child.text
            ignored = IGNORED
            if service == "openstack":
                ignored = IGNORED.replace(": ", ": files of meta_data.json; ", 1)
            assert ignored in child.text, child.text

        one.__module__ = __name__
        one.__doc__ = (
            f"The answers of {service}'s metadata service, as cloud-init's tests have them."
        )
        test(f"service-{service}")(one)


register_services()


@test("service-auto")
def service_auto(context):
    """`auto` tries the services in their order, and takes the one that exists."""
    tap = context.tap()
    service = Service(context, tap, EC2_WITHOUT_TOKENS)
    child = asks(context, "microvm", "auto", tap)
    expected = described("ec2", "sm-foo-test.novalocal", "i-00000001") + ARGUMENTS
    assert expected in clean(child.text), child.text
    asked = [path for _, path, _ in service.requests]
    assert asked == [
        "/computeMetadata/v1/instance/id",
        "/hetzner/v1/metadata/instance-id",
        "/metadata/v1.json",
        "/openstack/latest/meta_data.json",
        "/latest/api/token",
        *EC2_WITHOUT_TOKENS,
    ], asked


@test("service-is-asked-only-by-name")
def service_only_by_name(context):
    """Without `SOIL_METADATA`, and where a disk has metadata, no service is asked."""
    tap = context.tap()
    service = Service(context, tap, HETZNER)
    child = context.soil(PROGRAM, "microvm", "serve", tap=tap)
    child.wait_line("ready")
    assert "no metadata" in child.text, child.text
    child.stop()
    options = ["--disk", f"seed={nocloud(context)},ro", "--env", "SOIL_METADATA=hetzner"]
    child = context.soil(PROGRAM, "microvm", options=options, tap=tap)
    child.wait_line("ready")
    assert NOCLOUD in clean(child.text), child.text
    assert service.requests == [], service.requests


@test("hostile-services", limit=240)
def hostile_services(context):
    """Services that lie: the program starts without metadata, after one warning."""
    head = b"HTTP/1.1 200 OK\r\n"
    path = "/hetzner/v1/metadata/instance-id"
    cases = [
        ({}, "status 404"),
        ({path: b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n"}, "status 302"),
        ({path: b"SSH-2.0-x\r\n\r\n"}, "not an HTTP/1.1 response"),
        ({path: head + b"Content-Length: 99999999999\r\n\r\n"}, "larger than 256 KiB"),
        ({path: head + b"\r\n" + b"x" * 300_000}, "larger than 256 KiB"),
        ({path: b"x" * 9000}, "headers of more than 8 KiB"),
        ({path: head + b"Content-Length: 100\r\n\r\nshort"}, "ended before the answer"),
    ]
    tap = context.tap()
    answers = {}
    Service(context, tap, answers)
    for case, expected in cases:
        answers.clear()
        answers.update(case)
        child = context.soil(
            PROGRAM, "microvm", options=["--env", "SOIL_METADATA=hetzner"], tap=tap
        )
        status = child.finish(context.remaining())
        assert status == 0 and "no metadata\n" in clean(child.text), child.text
        assert expected in child.text, f"{expected}: {child.text}"
    _, text = run(context, "microvm", write(context, "blank", bytes(1 << 20)),
                  options=["--env", "SOIL_METADATA=azure"])  # fmt: skip
    assert "no metadata" in text, text


@test("file-of-a-process")
def file_of_a_process(context):
    """A process whose `SOIL_METADATA` names no metadata says so."""
    blank = write(context, "blank", bytes(1 << 20))
    for path, expected in (
        (context.path("absent"), "no such file"),
        (blank, "no file system with the label cidata or config-2"),
    ):
        status, text = run(context, "process", path)
        assert status == 0 and expected in text and f"SOIL_METADATA: {path}" in text, text
