"""`soil image --format oci`: container images by the programs that use them."""

import base64
import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess

from cases import initrd
from cases.initrd import CONTENTS
from harness.console import PATIENCE
from harness.context import SOIL, Skip, clean, executable
from harness.runner import test

ECHO = "examples/echo/main.exe"
# urunc's names of these values (docs/package/index.md).
PREFIX = "com.urunc.unikernel."


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip(f"{program} isn't installed; install it: apt-get install {program}")


def image(context, program, form, engine, name="image", options=(), arguments=()):
    """Makes an image; returns its layout's folder."""
    folder = context.path(name)
    words = [SOIL, "image", executable(program, form), "-o", folder, "--format", "oci"]
    words += ["--engine", engine, *options]
    context.run(*words, *(["--", *arguments] if arguments else []))
    return folder


def unpacked(context, folder):
    """Unpacks a layout's image; returns the bundle, with the runtime's configuration."""
    bundle = context.path("bundle")
    shutil.rmtree(bundle, ignore_errors=True)
    context.run("umoci", "unpack", "--image", f"{folder}:latest", bundle)
    with open(os.path.join(bundle, "config.json"), encoding="utf-8") as file:
        return bundle, json.load(file)


def files(bundle):
    """Kind, mode and owner of each path of the bundle's files."""
    root = os.path.join(bundle, "rootfs")
    found = {}
    for folder, folders, names in os.walk(root):
        for name in folders + names:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            kind = "d" if stat.S_ISDIR(status.st_mode) else "f"
            mode = oct(stat.S_IMODE(status.st_mode))
            found[os.path.relpath(path, root)] = (kind, mode, status.st_uid, status.st_gid)
    return found


@contextlib.contextmanager
def container(context, bundle, configuration):
    """A container of crun with the test's network, as a child."""
    # The test has no cgroup to give, and crun refuses the file systems of both versions side by side.
    configuration["linux"]["namespaces"] = [
        namespace
        for namespace in configuration["linux"]["namespaces"]
        if namespace["type"] not in ("network", "cgroup")
    ]
    configuration["linux"].pop("resources", None)
    configuration["process"]["terminal"] = False
    configuration["mounts"] = [
        mount for mount in configuration["mounts"] if mount["type"] not in ("cgroup", "sysfs")
    ]
    with open(os.path.join(bundle, "config.json"), "w", encoding="utf-8") as file:
        json.dump(configuration, file)
    without = 'mount -t tmpfs none /sys/fs/cgroup && exec crun "$@"'
    runtime = ["unshare", "-m", "sh", "-c", without, "crun"]
    runtime += ["--root", context.path("crun"), "--cgroup-manager=disabled"]
    name = f"soil-{os.path.basename(context.directory)}"
    child = context.child([*runtime, "run", "-b", bundle, name])
    try:
        yield child, lambda: context.run(*runtime, "kill", name, "TERM")
    finally:
        subprocess.run([*runtime, "delete", "-f", name], check=False, capture_output=True)


@test()
def an_oci_image_is_the_same_each_time(context):
    """The same program makes the same layout; skopeo reads its manifest, configuration and layer,
    whose digests fit."""
    need("skopeo")
    options = ["--env", "A=x y"]
    folders = [
        image(context, ECHO, "process", "process", name, options, ["a b"]) for name in ("1", "2")
    ]
    context.run("diff", "-r", *folders)
    found = json.loads(context.run("skopeo", "inspect", f"oci:{folders[0]}:latest").stdout)
    assert (found["Os"], found["Architecture"]) == ("linux", "amd64"), found
    assert found["Created"] == "1970-01-01T00:00:00Z" and len(found["Layers"]) == 1, found
    assert found["Env"] == ["PATH=/bin", "SOIL_NET=host", "A=x y"], found
    inspect = ["skopeo", "inspect", "--config", f"oci:{folders[0]}:latest"]
    configuration = json.loads(context.run(*inspect).stdout)["config"]
    assert configuration["User"] == "65532:65532", configuration
    assert configuration["Entrypoint"] == ["/bin/echo"], configuration
    assert configuration["Cmd"] == ["a b"], configuration
    # Copies are checked against their digests, also as another format.
    copy = context.path("copy")
    context.run("skopeo", "copy", "--insecure-policy", f"oci:{folders[0]}:latest", f"dir:{copy}")
    layer = os.path.join(folders[0], "blobs", "sha256", found["Layers"][0].split(":")[1])
    with open(layer, "r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))
    words = ["skopeo", "copy", "--insecure-policy", f"oci:{folders[0]}:latest", f"dir:{copy}"]
    assert context.run(*words, check=False).returncode != 0, "a damaged layer is copied"


@test()
def an_oci_image_is_refused_clearly(context):
    """A form that doesn't fit the engine, and a folder with something in it."""
    occupied = context.path("occupied")
    os.makedirs(os.path.join(occupied, "something"))
    for form, engine, output, message in (
        ("microvm", "process", "new", "an image is no process: give the process form"),
        ("process", "kubevirt", "new", "a process is no machine: give the image"),
        ("process", "urunc", "new", "a process is no machine: give the image"),
        ("process", "process", occupied, "not an empty folder: remove it"),
    ):
        words = [SOIL, "image", executable(ECHO, form), "-o", context.path(output)]
        words += ["--format", "oci", "--engine", engine]
        done = context.run(*words, check=False)
        assert done.returncode != 0 and message in done.stderr, f"{form} {engine}: {done}"
        assert not os.path.exists(context.path("new")), "nothing is left"
    assert not [name for name in os.listdir(context.directory) if name.startswith(".soil")]


@test()
def an_oci_image_replaces_another(context):
    """--force replaces a layout, and nothing else."""
    layout, other = context.path("layout"), context.path("other")
    os.makedirs(other)
    with open(os.path.join(other, "notes"), "w", encoding="utf-8") as file:
        file.write("keep")

    def make(output, engine, form, *words):
        words = [SOIL, "image", executable(ECHO, form), "-o", output, "--engine", engine, *words]
        return context.run(*words, "--format", "oci", check=False)

    def digests():
        return set(os.listdir(os.path.join(layout, "blobs/sha256")))

    assert make(layout, "process", "process").returncode == 0
    before = digests()
    refused = make(layout, "urunc", "microvm")
    assert "already exists: --force replaces it" in refused.stderr, refused
    assert digests() == before
    assert make(layout, "urunc", "microvm", "--force").returncode == 0
    assert not digests() & before, "blobs of the image before"
    refused = make(other, "process", "process", "--force")
    assert "not an empty folder: remove it" in refused.stderr, refused
    assert os.listdir(other) == ["notes"]
    assert not [name for name in os.listdir(context.directory) if name.startswith(".soil")]


@test(limit=120)
def a_container_runs_the_process_form(context):
    """umoci unpacks the image and crun runs it, as another user than root, with nothing of the host
    but its network: a program's status, and a server that answers and stops at SIGTERM."""
    need("umoci", "crun")
    folder = image(context, "exit_status", "process", "process", "status", arguments=["3"])
    bundle, configuration = unpacked(context, folder)
    found = files(bundle)
    assert found["bin/exit_status"] == ("f", "0o555", 0, 0), found
    assert found["tmp"] == ("d", "0o1777", 0, 0), found
    process = configuration["process"]
    assert (process["user"]["uid"], process["user"]["gid"]) == (65532, 65532), process
    assert process["args"] == ["/bin/exit_status", "3"], process
    with container(context, bundle, configuration) as (child, _):
        status = child.finish(context.remaining())
        assert status == 3 and "leaving with 3" in child.text, f"{status}: {child.text}"
    folder = image(context, ECHO, "process", "process", "echo", arguments=["7007"])
    bundle, configuration = unpacked(context, folder)
    with container(context, bundle, configuration) as (child, stop):
        child.wait_line("listen")
        context.load("copy", "127.0.0.1", 7007, 100_000)
        stop()
        status = child.finish(context.remaining())
        assert status == 128 + signal.SIGTERM, f"{status}: {child.text}"


@test()
def kubevirt_finds_kernel_and_disk(context):
    """The image for KubeVirt has the kernel, which boots, and the disk, which its user can read."""
    need("umoci")
    folder = image(context, "exit_status", "microvm", "kubevirt", arguments=["3"])
    bundle, _ = unpacked(context, folder)
    found = files(bundle)
    assert found["boot/image.elf"] == ("f", "0o444", 0, 0), found
    assert found["disk/disk.img"] == ("f", "0o440", 107, 107), found
    kernel = os.path.join(bundle, "rootfs", "boot", "image.elf")
    done = context.run(SOIL, "run", kernel, "--net", "none", "--", "3", check=False)
    assert done.returncode == 3, done


@test(limit=120)
def urunc_starts_the_image_as_linux(context):
    """urunc's annotations name the image in its folder, and QEMU with urunc's own arguments boots
    it: the address from ip=, the environment, and the arguments behind rdinit=."""
    need("umoci", "skopeo")
    folder = image(context, ECHO, "microvm", "urunc", options=["--env", "A=1"])
    manifest = json.loads(context.run("skopeo", "inspect", "--raw", f"oci:{folder}:latest").stdout)
    bundle, configuration = unpacked(context, folder)
    with open(os.path.join(bundle, "rootfs", "urunc.json"), encoding="utf-8") as file:
        encoded = json.load(file)
    for annotations in (encoded, configuration["annotations"], manifest["annotations"]):
        values = {
            name.removeprefix(PREFIX): base64.b64decode(value).decode()
            for name, value in annotations.items()
            if name.startswith(PREFIX)
        }
        assert values["unikernelType"] == "linux" and values["hypervisor"] == "qemu", values
        assert values["binary"] == "/unikernel/image.elf", values
        assert values["initrd"] == "/unikernel/initrd.cpio", values
    process = configuration["process"]
    assert process["args"] == [values["binary"]] and "A=1" in process["env"], process
    tap = context.tap()
    network = ["-net", "nic,model=virtio", "-net"]
    network += [f"tap,script=no,downscript=no,ifname={tap.name}"]
    address = f"ip={tap.guest}::{tap.host}:255.255.255.0:urunc:eth0:off"
    line = f"console=ttyS0 root=/dev/ram0 rw {address} {' '.join(process['env'])}"
    console = ["-nographic", "-serial", "stdio"]
    child = context.child(urunc(bundle, values, line, "", [*console, *network]))
    child.wait_line("listen", PATIENCE)
    assert "unknown word" not in clean(child.text), child.text
    context.load("copy", tap.guest, 7, 100_000)


def urunc(bundle, values, line, arguments, devices):
    """urunc's words for an image with an initrd (pkg/unikontainers/hypervisors/qemu.go and
    unikernels/linux.go: BuildExecCmd and CommandString)."""
    root = os.path.join(bundle, "rootfs")
    command = ["qemu-system-x86_64", "-m", "64M", "-L", "/usr/share/qemu"]
    command += ["-cpu", "max", "-accel", "tcg"]  # Instead of -cpu host -enable-kvm.
    command += ["-vga", "none", "--sandbox"]
    command += ["on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]
    command += ["-kernel", os.path.join(root, values["binary"].lstrip("/")), *devices]
    command += ["-initrd", os.path.join(root, values["initrd"].lstrip("/"))]
    line = f"panic=-1 {line} rdinit={values['binary']} -- {arguments}"
    return [*command, "-no-reboot", "-nodefaults", "-append", line]


@test(limit=120)
def urunc_gives_the_files_of_a_pod(context):
    """Files that urunc appends to the image's initrd are the program's: ConfigMaps, Secrets, and
    the pod's hosts; with urunc's serial port, and with its virtio console."""
    need("umoci")
    folder = image(context, CONTENTS, "microvm", "urunc")
    bundle, configuration = unpacked(context, folder)
    values = {
        name.removeprefix(PREFIX): base64.b64decode(value).decode()
        for name, value in configuration["annotations"].items()
        if name.startswith(PREFIX)
    }
    pod = {"/etc/hosts": b"10.0.0.9 pod\n", "/etc/app/settings": b"a=1\n"}
    with open(os.path.join(bundle, "rootfs", values["initrd"].lstrip("/")), "ab") as file:
        file.write(initrd.archive(pod))
    serial = ["-nographic", "-serial", "stdio"]
    virtio = ["-display", "none", "-chardev", "stdio,id=urunc-console,signal=off"]
    virtio += ["-device", "virtio-serial-pci", "-device", "virtconsole,chardev=urunc-console"]
    for line, console in (
        ("console=ttyS0", serial),
        ("console=hvc0 8250.nr_uarts=0", ["-monitor", "null", *virtio]),
    ):
        line += " root=/dev/ram0 rw"
        console += ["-nic", "none"]
        child = context.child(urunc(bundle, values, line, " ".join(pod), console))
        child.finish()
        text = clean(child.text)
        assert '/etc/hosts: "10.0.0.9 pod\\n"\n/etc/app/settings: "a=1\\n"\n' in text, text
