"""Machines as other monitors make them: Firecracker and Cloud Hypervisor by a stand-in
(tests/programs/monitors/monitor.c), urunc by its command line, and QEMU's without old devices."""

import os
import subprocess

from harness.context import ROOT, clean, executable
from harness.runner import test

MONITOR = os.path.join(ROOT, "_build", "default", "tests", "programs", "monitors", "monitor.elf")
HELLO = "examples/hello/main.exe"
ECHO = "examples/echo/main.exe"
ARGUMENTS = "arguments"
# Machines without what QEMU can leave out of a PC's old devices.
BARE_MICROVM = "microvm,pit=off,pic=off,rtc=off"
BARE_PC = "pc,pit=off,pic=off,hpet=off,i8042=off,smm=off"
BARE_Q35 = "q35,pit=off,pic=off,hpet=off,i8042=off,smm=off,sata=off,smbus=off"
# A processor with few features, but random numbers for the network; and one that hides its
# hypervisor, as others than KVM and QEMU are hidden from an image.
SMALL = "qemu64,+rdrand"
UNKNOWN = "max,tcg-cpuid=off"
OLD_DEVICES = (
    ("microvm,pit=off", "max"),
    ("microvm,pic=off", "max"),
    ("microvm,rtc=off", "max"),
    (BARE_MICROVM, SMALL),
    (f"{BARE_MICROVM},ioapic2=off", "max"),
    (f"{BARE_MICROVM},acpi=off", "max"),
    ("pc", SMALL),
    (BARE_PC, "max"),
    ("pc,acpi=off", "max"),
    (BARE_Q35, SMALL),
    # The time stamp counter's rate by the PIT, and by ACPI's timer.
    ("q35", UNKNOWN),
    (BARE_PC, UNKNOWN),
    (BARE_Q35, UNKNOWN),
)
# Monitors: machine, processor, and what QEMU calls a network card there. Firecracker has a PIT, an
# interrupt controller of the old kind, and no clock chip.
MONITORS = {
    "firecracker": ("microvm,rtc=off", "max", "virtio-net-device"),
    "firecracker-pci": ("q35,hpet=off,i8042=off,smm=off", "max", "virtio-net-pci"),
    "cloud-hypervisor": (BARE_Q35, "max,phys-bits=48", "virtio-net-pci"),
}


def image(context, program):
    """The path of the program's stripped image.

    QEMU puts a module into the last pages of memory, where microvm's firmware has left ACPI's
    tables. These are in the rest of the last page, which is a whole page but for a byte here.
    """
    path = context.path("image.elf")
    subprocess.run(["strip", "-o", path, executable(program, "q35")], check=True)
    size = os.path.getsize(path)
    os.truncate(path, size + -size % 4096 + 1)
    return path


def qemu(context, machine, processor, *words):
    """Starts QEMU with nothing but these devices and a serial port."""
    return context.child(
        ["qemu-system-x86_64", "-M", f"{machine},accel=tcg", "-cpu", processor, "-m", "256"]
        + ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
        + ["-global", "virtio-mmio.force-legacy=false", "-serial", "stdio", *words]
    )


def card(tap, kind):
    """QEMU's words for a network card on the TAP."""
    tap.wait_free()
    backend = f"tap,id=net,ifname={tap.name},script=no,downscript=no,vnet_hdr=on"
    return ["-netdev", backend, "-device", f"{kind},netdev=net"]


def address(tap, device="eth0"):
    """The parameter of Linux's kernel for the TAP's guest."""
    return f"ip={tap.guest}::{tap.host}:255.255.255.0:guest:{device}:off"


def under(context, monitor, program, line, *devices, processor=None):
    """Starts the program's image as the monitor does, with this command line."""
    machine, usual, _ = MONITORS[monitor]
    kernel = ["-kernel", MONITOR, "-initrd", image(context, program)]
    words = [*kernel, "-append", f"{monitor} {line}", *devices]
    return qemu(context, machine, processor or usual, *words)


def echoes(context, tap, child, port=7):
    """The program answers by TCP, with every byte in its place."""
    child.wait_line(f"echo listens on [::]:{port}")
    context.load("copy", tap.guest, port, 300_000)
    # No word of the command line, no interrupt and no clock was missing.
    for complaint in ("unknown word", "warning", "no clock to compare"):
        assert complaint not in child.text, child.text
    child.stop()


def ends(child, text):
    """The program prints `text`, between the kernel's own lines, and its machine goes off."""
    child.finish()
    assert text in clean(child.text), child.text


def register():
    for monitor, (_, _, kind) in MONITORS.items():

        @test(monitor, limit=90, shows=f"Under {monitor}'s stand-in: console, and TCP by a card.")
        def check(context, monitor=monitor, kind=kind):
            # Firecracker's own words for Linux; the others know no more.
            line = "reboot=k panic=1 nomodule i8042.noaux i8042.dumbkbd root=/dev/vda rw"
            moved = monitor not in ("firecracker",)
            child = under(context, monitor, ARGUMENTS, f"{line} init=/sbin/init -- one 'two words'")
            ends(child, '1 ["one"]\n2 ["two words"]\n')
            tap = context.tap()
            child = under(context, monitor, ECHO, f"{line} {address(tap)}", *card(tap, kind))
            echoes(context, tap, child)
            assert moved == ("monitor: moved BARs" in child.text), child.text


register()


@test(limit=90)
def bars_above_2_to_the_44(context):
    """Cloud Hypervisor's stand-in puts BARs at the end of the physical addresses, for processors
    with 40, 46 and 52 bits of them."""
    for bits in (40, 46, 52):
        tap = context.tap()
        devices = card(tap, "virtio-net-pci,disable-legacy=on")
        processor = f"max,phys-bits={bits}"
        child = under(
            context, "cloud-hypervisor", ECHO, address(tap), *devices, processor=processor
        )
        echoes(context, tap, child)


@test(limit=90)
def urunc(context):
    """urunc's command line for QEMU and its type `linux`, but for KVM, starts an image: address,
    arguments and environment arrive."""
    tap = context.tap()
    tap.wait_free()
    # pkg/unikontainers/hypervisors/qemu.go and unikernels/linux.go of urunc 0.6.
    words = f"""-m 256M -L /usr/share/qemu -cpu max -accel tcg -nographic -vga none --sandbox
        on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
        -kernel {image(context, ECHO)} -net nic,model=virtio
        -net tap,script=no,downscript=no,ifname={tap.name} -no-reboot -serial stdio -nodefaults"""
    own = address(tap).replace("guest", "urunc")
    line = f"panic=-1 console=ttyS0 root=/dev/vda rw {own} PATH=/bin A=b=c init=/echo -- 7007"
    child = context.child(["qemu-system-x86_64", *words.split(), "-append", line])
    echoes(context, tap, child, port=7007)


@test(limit=90)
def an_explicit_address_wins(context):
    """SOIL_IP is used and ip= isn't; a wrong ip= is an error that names the part."""
    tap = context.tap()
    line = f"ip=192.0.2.1::192.0.2.2:255.255.255.0::: SOIL_IP={tap.guest_cidr}"
    devices = card(tap, "virtio-net-pci")
    kernel = ["-kernel", image(context, ECHO)]
    child = qemu(context, "q35", "max", *kernel, "-append", line, *devices)
    echoes(context, tap, child)
    tap.wait_free()
    child = qemu(context, "q35", "max", *kernel, "-append", "ip=10.0.0.300::", *devices)
    child.wait_line('ip= on the command line: "10.0.0.300" is not an address such as 10.0.0.2')


@test(limit=120)
def without_old_devices(context):
    """An image has its network, and its time, on QEMU's machines without PIT, PIC, clock chip,
    HPET, i8042 or ACPI, and by a processor that hides its hypervisor."""
    path = image(context, ECHO)
    for machine, processor in OLD_DEVICES:
        print(machine, processor)
        tap = context.tap()
        kind = "virtio-net-device" if machine.startswith("microvm") else "virtio-net-pci"
        line = ["-kernel", path, "-append", address(tap)]
        echoes(context, tap, qemu(context, machine, processor, *line, *card(tap, kind)))


@test()
def without_a_serial_port(context):
    """Without a UART an image runs to its end; QEMU gets its status."""
    for machine in ("microvm,isa-serial=off", f"{BARE_MICROVM},isa-serial=off"):
        kernel = ["-kernel", image(context, "exit_status"), "-append", "-- 42"]
        child = qemu(
            context, machine, "max", *kernel, "-device", "isa-debug-exit,iobase=0xf4,iosize=4"
        )
        assert (child.finish(), child.text) == (42 << 1 | 1, ""), child.text


@test()
def no_clock_but_the_bus(context):
    """Where QEMU hides who runs the processor, and the machine has no clock of a known rate, the
    counter is compared with the bus, whose rate QEMU fixes."""
    kernel = ["-kernel", image(context, "clocks"), "-append", "-- 0"]
    child = qemu(context, BARE_MICROVM, UNKNOWN, *kernel)
    child.finish()
    assert "no clock to compare the time stamp counter with" not in child.text, child.text
    assert "processor time moves" in child.text, child.text
