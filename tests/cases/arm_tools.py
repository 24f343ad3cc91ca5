"""The commands with images for arm64: libvirt's domains, container images, other launchers."""

import base64
import contextlib
import json
import os
import shutil

from cases.arm_disks import HELLO, hello
from cases.launchers import Libvirt, available, read_until
from cases.oci import PREFIX, files, need, unpacked
from harness.console import PATIENCE
from harness.context import SOIL, Skip
from harness.runner import test


def needed():
    """Skips the test where QEMU or hello for arm64 is missing."""
    if not shutil.which("qemu-system-aarch64"):
        raise Skip("no qemu-system-aarch64: install Debian's package qemu-system-arm")
    hello()


def emulator(libvirt):
    """QEMU for libvirt: libvirt 9.0 gives a machine without ACPI an option that QEMU 9 lost."""
    path = libvirt.path("emulator")
    with open(path, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\nfor word; do\n  shift\n")
        file.write('  [ "$word" = -no-acpi ] || set -- "$@" "$word"\n')
        file.write('done\nexec qemu-system-aarch64 "$@"\n')
    os.chmod(path, 0o755)
    return path


def container(context, engine, *options):
    """Makes a container image of hello; returns its layout's folder."""
    folder = context.path("container")
    words = [SOIL, "image", HELLO, "-o", folder, "--format", "oci", "--engine", engine]
    context.run(*words, *options)
    return folder


@test(limit=180)
def libvirt_runs_an_image_for_arm(context):
    """libvirt accepts the domains of an image for arm64, whose kernel is the flat form that `soil
    run` names, and starts one."""
    available()
    needed()
    with Libvirt(context) as libvirt:
        program, flat = libvirt.path("files.elf"), libvirt.path("files.flat")
        disk = libvirt.path("data.img")
        shutil.copy(HELLO, program)
        context.run(SOIL, "disk", "make", disk, "--size", "16M", "--fs", "fat")
        for options in (
            ["--net=none", "--cpu=cortex-a72", f"--disk=data={disk},sector=4096,ro"],
            ["--net=user", "--display=vnc=:7", "--display-size=640x480,320x200"],
            ["--net=none", "--", "a b", "<&'>"],
        ):
            words = [SOIL, "run", program, "--accel=tcg", "--dry-run=libvirt", *options]
            words[3:3] = ["--qemu", emulator(libvirt)]
            done = context.run(*words)
            assert f"soil strip --flat {program} {flat}\n" in done.stderr, done.stderr
            with open(libvirt.path("domain.xml"), "w", encoding="utf-8") as file:
                file.write(done.stdout)
            libvirt.hand_over()
            if options != ["--net=none", "--", "a b", "<&'>"]:
                libvirt.virsh("define", "--validate", libvirt.path("domain.xml"))
                libvirt.virsh("undefine", "files")
        context.run(SOIL, "strip", "--flat", program, flat)
        libvirt.hand_over()
        libvirt.virsh("define", "--validate", libvirt.path("domain.xml"))
        with contextlib.closing(libvirt.start("files")) as line:
            text = read_until(line, "soil: status 0")
            assert "Hello World!" in text, text


@test(limit=120)
def urunc_starts_an_image_for_arm(context):
    """The container image for urunc is of linux/arm64, and QEMU boots the flat form in it, as urunc
    does on arm64; that for KubeVirt has the disk only."""
    needed()
    need("umoci", "skopeo")
    folder = container(context, "urunc", "--env", "A=1")
    found = json.loads(context.run("skopeo", "inspect", "--override-arch", "arm64",
                                   f"oci:{folder}:latest").stdout)  # fmt: skip
    assert (found["Os"], found["Architecture"]) == ("linux", "arm64"), found
    bundle, _ = unpacked(context, folder)
    with open(os.path.join(bundle, "rootfs", "urunc.json"), encoding="utf-8") as file:
        binary = base64.b64decode(json.load(file)[f"{PREFIX}binary"]).decode()
    # pkg/unikontainers/hypervisors/qemu.go: BuildExecCmd; TCG instead of -enable-kvm.
    command = ["qemu-system-aarch64", "-m", "64M", "-cpu", "max", "-accel", "tcg"]
    command += ["-display", "none", "-vga", "none", "-monitor", "null", "-serial", "stdio"]
    command += ["-M", "virt", "-kernel", os.path.join(bundle, "rootfs", binary.lstrip("/"))]
    command += ["-nic", "none", "-append", f"panic=-1 console=ttyS0 A=1 init={binary} -- "]
    child = context.child(command)
    child.wait_line("Hello World!", PATIENCE)
    child.wait_line("soil: status 0", PATIENCE)
    child.stop()
    shutil.rmtree(folder)
    try:
        container(context, "kubevirt")
    except AssertionError as failure:
        if "soil-uefi-aarch64.efi" in str(failure):
            raise Skip("no loader for arm64: loader/cross.sh aarch64 prints the reason") from None
        raise
    found = files(unpacked(context, folder)[0])
    assert "disk/disk.img" in found and "boot/image.elf" not in found, found


@test(limit=60)
def what_an_image_for_arm_lacks_is_named(context):
    """What KVM, PCs and this machine's C library are needed for is refused with the names of both
    architectures; the configuration of another VMM names the flat form."""
    needed()
    for words in (
        ["run", HELLO, "--accel=kvm"],
        ["run", HELLO, "--vmm=firecracker", "--net=none"],
        ["run", HELLO, "--machine=q35"],
    ):
        done = context.run(SOIL, *words, check=False)
        assert done.returncode == 125, done
        for part in ("aarch64", "x86_64", words[2].split("=")[0]):
            assert part in done.stderr, done.stderr
    words = [SOIL, "run", HELLO, "--vmm=firecracker", "--net=none", "--dry-run"]
    done = context.run(*words)
    flat = HELLO.removesuffix(".exe") + ".flat"
    source = json.loads(done.stdout)["boot-source"]
    assert source["kernel_image_path"] == flat, source
    assert f"soil strip --flat {HELLO} {flat}\n" in done.stderr, done.stderr
