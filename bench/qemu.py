"""The QEMU command of one benchmark guest: the same words for Soil and for the Linux peer.

Only `-kernel`, `-initrd` and `-append` differ between the two.
"""

import contextlib
import os

import peer
from target import FOREIGN, TARGET

QEMU = os.environ.get("QEMU", TARGET.qemu)
# QEMU's accelerator; prove.py takes KVM.
accel = os.environ.get("SOIL_BENCH_ACCEL", "tcg")
# Properties of a network device without offloads.
PLAIN = "".join(
    f",{name}=off"
    for name in """csum gso guest_csum guest_tso4 guest_tso6 guest_ecn guest_ufo
    host_tso4 host_tso6 host_ecn host_ufo mrg_rxbuf""".split()
)


@contextlib.contextmanager
def accelerated(name):
    """Commands for the accelerator `name`."""
    global accel
    before, accel = accel, name
    try:
        yield
    finally:
        accel = before


def command(
    kernel,
    append,
    machine=next(iter(peer.TRANSPORT)),
    mem=256,
    tap=None,
    disk=None,
    initrd=None,
    serial="data",
    offloads=True,
    cache="none",
    display=None,
    monitor=None,
    cpus=1,
    port=False,
):
    """`mem` in MiB; `disk` a raw image, opened with this `cache`; `tap` the name of an interface;
    `display` the size of one, with a keyboard; `monitor` the path of QMP's socket; with `port`
    output by a port, as `soil run` has it."""
    mmio = "virtio_mmio" in peer.TRANSPORT[machine]
    suffix = "device" if mmio else "pci"
    if machine == "microvm":
        # Linux doesn't set up a microvm's PIC. A timer tick behind it, before the I/O APIC is set
        # up, arrives as a divide error: in half of the boots of a slow host.
        machine = "microvm,pit=off"
    elif machine.startswith("virt") and accel == "kvm":
        machine = machine.removesuffix("-pci") + ",gic-version=host"
    words = [
        QEMU, "-accel", accel, "-M", machine.removesuffix("-pci"),
        "-cpu", "host" if accel == "kvm" else TARGET.cpu,
        "-m", str(mem), "-smp", str(cpus),
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio",
        "-kernel", kernel, "-append", append,
    ]  # fmt: skip
    if not FOREIGN:
        words += ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
    if mmio:
        words += ["-global", "virtio-mmio.force-legacy=false"]
    if initrd:
        words += ["-initrd", initrd]
    if tap:
        words += [
            "-netdev", f"tap,id=n0,ifname={tap},script=no,downscript=no",
            "-device", f"virtio-net-{suffix},netdev=n0,mac={peer.GUEST_MAC}{'' if offloads else PLAIN}",
            "-device", f"virtio-rng-{suffix}",
        ]  # fmt: skip
    if disk:
        words += [
            "-drive", f"if=none,id=d0,file={disk},format=raw,cache={cache},aio=threads",
            "-device", f"virtio-blk-{suffix},drive=d0,serial={serial}",
        ]  # fmt: skip
    if display:
        width, height = display
        words += [
            "-device", f"virtio-gpu-{suffix},xres={width},yres={height}",
            "-device", f"virtio-keyboard-{suffix}",
        ]  # fmt: skip
    if port:
        options = "" if mmio else ",ioeventfd=off"
        words += ["-global", "virtio-mmio.ioeventfd=off"] if mmio else []
        words += [
            "-chardev", "file,id=port,path=/dev/stdout,append=on",
            "-device", f"virtio-serial-{suffix},max_ports=2{options}",
            "-device", "virtserialport,chardev=port,nr=1,name=org.soil.output",
        ]  # fmt: skip
    if monitor:
        words += ["-qmp", f"unix:{monitor},server=on,wait=off"]
    return words


def linux(
    archive,
    modules,
    run,
    machine=next(iter(peer.TRANSPORT)),
    mem=256,
    tap=None,
    disk=None,
    mount=None,
    offloads=True,
    display=None,
    monitor=None,
    flavour=peer.CLOUD,
    cpus=1,
):
    """The peer with the initramfs `archive`; `run` is the program and its arguments; `flavour` is
    the kernel's."""
    words = []
    if modules:
        words.append("MODS=" + ",".join(modules))
    if tap:
        words += ["IP=" + tap.guest, "GATEWAY=" + tap.host]
    if disk or display:
        words.append("DEV=1")
    if mount:
        words.append("MNT=" + mount)
    words.append("RUN=" + ",".join(["/app", *run]))
    return command(
        peer.kernel(flavour)[0],
        peer.command_line(words),
        machine=machine,
        mem=mem,
        tap=tap.name if tap else None,
        disk=disk,
        initrd=archive,
        offloads=offloads,
        display=display,
        monitor=monitor,
        cpus=cpus,
    )


def soil(
    image,
    run,
    machine=next(iter(peer.TRANSPORT)),
    mem=256,
    tap=None,
    disk=None,
    environment=(),
    serial="data",
    offloads=True,
    cache="none",
    display=None,
    monitor=None,
    cpus=1,
    port=False,
):
    """A Soil image with the same devices."""
    words = list(environment)
    if port:
        words.append("SOIL_CONSOLE=pipe,output")
    if tap:
        words += [f"SOIL_IP={tap.guest_cidr}", f"SOIL_GATEWAY={tap.host}"]
    words += ["--", *run]
    return command(
        image,
        " ".join(words),
        machine=machine,
        mem=mem,
        tap=tap.name if tap else None,
        disk=disk,
        serial=serial,
        offloads=offloads,
        cache=cache,
        display=display,
        monitor=monitor,
        cpus=cpus,
        port=port,
    )


def floor(image, machine):
    """The empty image."""
    return command(image, "", machine=machine, mem=64)
