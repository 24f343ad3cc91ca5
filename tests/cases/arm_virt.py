"""The kinds of QEMU's `virt` for arm64: interrupt controllers, processors, buses, exception levels,
memory, consoles, by QEMU's loader and by UEFI; and trees in the shape of Firecracker's."""

import itertools
import os
import re
import resource
import subprocess

from harness.console import PATIENCE, falls_asleep
from harness.context import PROCESSOR, SOIL, Skip, executable, outcome
from harness.fdt import Tree
from harness.qmp import Monitor
from harness.runner import test
from harness.stub import Stub

from cases.arm_disks import FIRMWARE, needed
from cases.failures import EXCEPTION, check_twice
from cases.failures import PROGRAM as FAILING
from cases.machines import attach
from cases.processors import runs

MACHINE = "tests/programs/machines/machine.exe"
SEVERAL = "tests/programs/processors/processors.exe"
SIGNALS = "tests/programs/signals.exe"
FAULTS = "tests/programs/faults/faults.exe"
PROCESSORS = ("cortex-a53", "cortex-a72", "neoverse-n1", "max")
BUSES = ("device", "pci")
# The stack of the machine, and the peer of QEMU's network, which sends back what it gets.
ADDRESS = "SOIL_IP=10.0.2.15/24 SOIL_GATEWAY=10.0.2.2"
PEER = ("10.0.2.100", "7")
FORWARD = "user,id=net,restrict=on,guestfwd=tcp:{}:{}-cmd:cat".format(*PEER)
LINES = "\n".join(
    f"{what}: true" for what in ("the timer works", "a port is chosen", "the disk works",
                                 "the network works")
)  # fmt: skip
CONSOLE = ("-chardev", "stdio,id=console,signal=off", "-device", "virtconsole,chardev=console")


def program(path):
    """The path of a program for arm64."""
    if PROCESSOR != "aarch64":
        raise Skip("these tests run with --arch aarch64")
    return executable(path, "virt")


def flat(context, path=MACHINE):
    """The form of a program that QEMU's loader takes."""
    output = context.path(f"{os.path.basename(path)}.img")
    if not os.path.exists(output):
        context.run(SOIL, "strip", "--flat", program(path), output)
    return output


def disk(context, path=MACHINE, words=PEER):
    """A disk that boots a program by UEFI."""
    output = context.path(f"{os.path.basename(path)}.disk")
    if not os.path.exists(output):
        variables = [each for one in ADDRESS.split() for each in ("--env", one)]
        built = program(path)
        context.run(SOIL, "image", built, "--output", output, *variables, "--", *words)
    return output


def data(context):
    """The disk that the program writes to."""
    path = context.path("data.img")
    with open(path, "wb") as file:
        file.truncate(1 << 20)
    return path


def qemu(kind, cpu, *words, memory="1G", serial="stdio"):
    """QEMU's command line: of a kind of `virt`, with at most what the program needs."""
    return [
        *("qemu-system-aarch64", "-M", f"virt,accel=tcg{kind}", "-cpu", cpu, "-m", memory),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", serial),
        *("-global", "virtio-mmio.force-legacy=false", *words),
    ]


def devices(context, bus):
    """The disk and the network of the program, on virtio-mmio or PCI."""
    return [
        *("-drive", f"file={data(context)},format=raw,if=none,id=data"),
        *("-device", f"virtio-blk-{bus},drive=data,serial=data"),
        *("-netdev", FORWARD, "-device", f"virtio-net-{bus},netdev=net"),
    ]


def by_kernel(context, path=MACHINE, words=PEER, variables=""):
    """The words of QEMU that boot a program by its own loader."""
    line = f"{ADDRESS} {variables} -- {' '.join(words)}"
    return ["-kernel", flat(context, path), "-append", line]


def by_disk(context, bus, path=MACHINE, words=PEER):
    """The words of QEMU that boot a program by UEFI, with random numbers for each processor."""
    drive = f"file={disk(context, path, words)},format=raw,if=none,id=boot,readonly=on"
    return [
        *("-bios", FIRMWARE, "-drive", drive),
        *("-device", f"virtio-blk-{bus},drive=boot,bootindex=0", "-device", f"virtio-rng-{bus}"),
    ]


def check(context, command):
    """Runs the program on the machine, and checks that all of it works."""
    child = context.child(command)
    status, text = outcome(child, context)
    assert status == 0 and text.endswith("all works\nsoil: status 0\n"), f"{command}\n{text}"
    # Without the kernel's lines, which may come in between.
    assert LINES in re.sub(r"(?m)^soil: .*\n", "", text), f"{command}\n{text}"
    return text


def boot(context, controller, cpu, bus, loader, kind="", words=(), **options):
    """Boots the program on one machine."""
    loads = by_kernel(context) if loader == "kernel" else by_disk(context, bus)
    kind = f",gic-version={controller}{kind}"
    command = qemu(kind, cpu, *loads, *words, *devices(context, bus), **options)
    check(context, command)


def big(size):
    """Memory of a machine that its host doesn't have: what isn't touched costs nothing."""
    return (
        *("-object", f"memory-backend-ram,id=memory,size={size},reserve=off"),
        *("-machine", "memory-backend=memory"),
    )


# Each pair of a controller, a processor, a bus and a loader; with what else a machine may have.
PAIRS = (
    (2, "cortex-a53", "device", "kernel", ",virtualization=on"),
    (3, "cortex-a53", "pci", "uefi", ",acpi=off,virtualization=on"),
    (2, "cortex-a72", "pci", "kernel", ",secure=on,highmem=off"),
    (3, "cortex-a72", "device", "uefi", ",highmem=off"),
    (2, "neoverse-n1", "device", "uefi", ",acpi=off"),
    (3, "neoverse-n1", "pci", "kernel", ",its=off"),
    (2, "max", "pci", "uefi", ""),
    (3, "max", "device", "kernel", ",virtualization=on,secure=on"),
)


@test(limit=240)
def each_pair_of_kinds(context):
    """A timer, random numbers, a disk and a network on virtio-mmio and on PCI, with GICv2 and
    GICv3 (lines, v2m, ITS), four processors, by QEMU's loader and by UEFI, entered at EL1 and EL2,
    with and without ACPI, high memory and a secure world."""
    needed()
    for each in PAIRS:
        boot(context, *each)


@test(limit=120)
def a_hypervisors_level_with_either_layout(context):
    """Entered at EL2, the image runs at EL1, whether HCR_EL2.E2H can be cleared or, as on Apple's
    processors, is always set: the stub sets it in what the image writes."""
    needed()
    write_hcr = 0xD51C1101  # msr hcr_el2, x1
    for controller, e2h in itertools.product((2, 3), (0, 1 << 34)):
        path = context.path(f"stub-{controller}-{e2h}")
        kind = f",gic-version={controller},virtualization=on"
        command = qemu(kind, "max", *by_kernel(context), *devices(context, "device"),
                       "-S", "-gdb", f"unix:{path},server=on,wait=off")  # fmt: skip
        child = context.child(command)
        stub = Stub(path)
        stub.step_to(write_hcr)
        stub.set_register(1, stub.register(1) | e2h)
        stub.leave()
        status, text = outcome(child, context)
        assert status == 0 and text.endswith("all works\nsoil: status 0\n"), f"{e2h}\n{text}"


@test(limit=120)
def exceptions_at_the_hypervisors_level(context):
    """Entered at EL2, an exception there ends in a report, with either layout of its registers: a
    call of the hypervisor, as the program's. One of the entry itself, an instruction that the
    processor lacks, is skipped, and a line says so."""
    needed()
    write_hcr, write_hstr, undefined = 0xD51C1101, 0xD51C117F, 0
    for e2h, at_entry in itertools.product((0, 1 << 34), (False, True)):
        path = context.path(f"stub-{e2h}-{at_entry}")
        loads = by_kernel(context, FAULTS, ["hypervisor"])
        kind = ",gic-version=3,virtualization=on"
        command = qemu(kind, "max", *loads, "-S", "-gdb", f"unix:{path},server=on,wait=off")
        child = context.child(command)
        stub = Stub(path)
        stub.step_to(write_hcr)
        stub.set_register(1, stub.register(1) | e2h)
        if at_entry:
            stub.step_to(write_hstr)
            place = stub.register(Stub.PC)
            stub.set_instruction(undefined)
        stub.leave()
        status, text = outcome(child, context)
        assert "soil: crash: hypervisor call that nothing answers" in text, f"{e2h}\n{text}"
        assert text.endswith("soil: status 132\n"), f"{e2h} {status}\n{text}"
        skipped = re.findall(r"which was skipped: undefined instruction \(.*\) at 0x(\w+);", text)
        assert len(skipped) == at_entry, f"{e2h}\n{text}"
        if at_entry:
            # The image is linked at 2 MiB.
            assert (int(skipped[0], 16) - place) % (2 << 20) == 0, (skipped, hex(place))


@test()
def registers_are_accessed_plainly(context):
    """Each access to a device's register is one plain load or store: a hypervisor can't emulate one
    with writeback, of a pair or of a vector, and ends the machine. The tables are switched without
    a moment at which both are valid."""
    # With the lines of its code, which the tests' own programs lack.
    image = program("examples/echo/main.exe")
    listing = context.run("aarch64-linux-gnu-objdump", "-dl", "--no-show-raw-insn", image).stdout
    is_access, accesses, others = False, 0, []
    for line in listing.splitlines():
        if re.match(r"\S+:\d+( \(discriminator \d+\))?$", line):
            is_access = "drivers/src/register.rs:" in line
        found = is_access and re.match(r" +[0-9a-f]+:\t((?:ld|st).*)", line)
        if found and re.fullmatch(r"(ldr|str)[bh]?\t[wx](\d+|zr), \[x\d+\]", found[1]):
            accesses += 1
        # A field or a spilled register, of memory, has an offset, which would do for a device, too.
        elif found and not re.fullmatch(r"(ldr|str)\t[wx]\d+, \[(x\d+|sp), #\d+\]", found[1]):
            others.append(found[1])
    assert accesses >= 50 and not others, (accesses, others)
    switch = listing.split("<soil_tables>:")[1].split("\tret")[0]
    order = re.findall(r"\t(msr|tlbi)\t(\w+)", switch)
    assert order == [
        ("msr", "tcr_el1"), ("msr", "ttbr1_el1"), ("msr", "ttbr0_el1"), ("tlbi", "vmalle1"),
        ("msr", "tcr_el1"),
    ], switch  # fmt: skip
    writes = re.findall(r"\tmsr\tttbr0_el1", listing)
    # Both others start a processor: the first, and each further one.
    assert len(writes) == 3, writes


@test(limit=240)
def again_from_a_disk(context):
    """After an exception the machine of a disk, which `soil run` boots by UEFI, starts again, with
    the report of the last run. Memory alone keeps the number of failures: the clock has none."""
    needed()
    path = context.path("failing.img")
    words = ["--on-failure", "reboot", "--", "raise", "times", "2"]
    context.run(SOIL, "image", program(FAILING), "--output", path, *words)
    child = context.child([SOIL, "run", path, "--firmware", "uefi", "--accel", "tcg"])
    check_twice(child, 2, EXCEPTION)


@test(limit=240)
def variables_in_a_file_of_fw_cfg(context):
    """QEMU's device for firmware is found by the tree of its own loader, by UEFI's, and by ACPI."""
    needed()
    settings, path = context.path("settings"), context.path("named.img")
    with open(settings, "w", encoding="ascii") as file:
        file.write('HIDDEN="a b"\n')
    name, words = "SOIL_FW_CFG=opt/org.soil/settings", ["getenv", "HIDDEN"]
    built = program(FAILING)
    context.run(SOIL, "image", built, "--output", path, "--env", name, "--", *words)
    by_firmware = [
        *("-bios", FIRMWARE, "-drive", f"file={path},format=raw,if=none,id=boot,readonly=on"),
        *("-device", "virtio-blk-pci,drive=boot,bootindex=0"),
    ]
    by_qemu = ["-kernel", flat(context, FAILING), "-append", f"{name} -- {' '.join(words)}"]
    option = ("-fw_cfg", f"name=opt/org.soil/settings,file={settings}")
    for kind, loads in (("", by_qemu), (",acpi=off", by_firmware), ("", by_firmware)):
        child = context.child(qemu(kind, "max", *loads, *option))
        status, text = outcome(child, context)
        assert status == 0 and text.endswith("HIDDEN is a b\nsoil: status 0\n"), f"{kind}\n{text}"


@test(limit=300)
def processors_of_each_kind(context):
    """Eight processors with a GICv2 and seventeen with a GICv3, which has them in two groups: all
    start on the same machines, and each interrupts by a number of its own."""
    needed()
    for controller, cpu, bus, loader, kind in PAIRS:
        count = {2: 8, 3: 17}[controller]
        loads = {
            "kernel": lambda: by_kernel(context, SEVERAL, []),
            "uefi": lambda bus=bus: by_disk(context, bus, SEVERAL, []),
        }[loader]()
        kind = f",gic-version={controller}{kind}"
        child = context.child(qemu(kind, cpu, *loads, "-smp", str(count)))
        status, text = outcome(child, context)
        assert status == 0 and runs(count) in text, f"{kind} {cpu} {loader}\n{text}"


@test(limit=900, long=True)
def all_kinds(context):
    """All combinations of controllers, processors, buses and loaders, and every other kind with
    each controller and loader."""
    needed()
    for each in itertools.product((2, 3), PROCESSORS, BUSES, ("kernel", "uefi")):
        boot(context, *each)
    others = (",virtualization=on", ",acpi=off", ",highmem=off", ",its=off", ",secure=on")
    more = zip(itertools.cycle(PROCESSORS), itertools.cycle(BUSES))
    for kind, controller, loader in itertools.product(others, (2, 3), ("kernel", "uefi")):
        # Only a GICv3 has an ITS; UEFI for QEMU isn't built for a secure world.
        if (kind, controller) == (",its=off", 2) or (kind, loader) == (",secure=on", "uefi"):
            continue
        cpu, bus = next(more)
        boot(context, controller, cpu, bus, loader, kind)
    # UEFI maps all of it.
    boot(context, 3, "max", "pci", "uefi", words=big("64G"), memory="64G")


@test(limit=120)
def much_memory(context):
    """64 GiB, of which the machine touches little: more than its host has."""
    needed()
    boot(context, 3, "max", "pci", "kernel", words=big("64G"), memory="64G")
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    context.bound("KiB of QEMU", used, 1 << 20)


@test(limit=120)
def a_generator_needs_a_seed(context):
    """A processor without random numbers gets a seed by the device tree, by virtio-rng, or by its
    counter's jitter, which one line says."""
    needed()
    for words, expected in (
        ((), None),
        (("-device", "virtio-rng-device"), None),
        ((), "random numbers come from the jitter of the processor's counter"),
    ):
        kind = ",dtb-randomness=off" if expected or words else ""
        command = qemu(kind, "cortex-a72", *by_kernel(context), *words, *devices(context, "device"))
        text = check(context, command)
        assert text.count("random numbers come from") == (expected is not None), text
        assert expected is None or expected in text, text


def tree(context, kind, cpu):
    """QEMU's device tree of a machine."""
    path = context.path("dumped.dtb")
    context.run(*qemu(f"{kind},dumpdtb={path}", cpu))
    with open(path, "rb") as file:
        found = file.read()
    try:
        return Tree(found)
    except OSError:
        raise Skip("no libfdt.so.1: install Debian's package libfdt1") from None


def written(context, found):
    """QEMU's words for another device tree."""
    path = context.path("changed.dtb")
    with open(path, "wb") as file:
        file.write(found.bytes())
    return "-dtb", path


@test(limit=120)
def an_its_that_is_missing(context):
    """Accesses to the registers of an ITS that only the tree has, or QEMU 10.0's ACPI, abort;
    devices on PCI work without it."""
    needed()
    found = tree(context, ",gic-version=3,its=off", "max")
    found.add("its@8080000", compatible="arm,gic-v3-its", reg=(0, 0x808_0000, 0, 0x2_0000))
    by_tree = (*by_kernel(context), *written(context, found))
    for loads in (by_tree, by_disk(context, "pci")):
        words = (*loads, *devices(context, "pci"))
        check(context, qemu(",gic-version=3,its=off", "max", *words))


@test(limit=120)
def no_serial_port(context):
    """A tree without a UART: the console is a port of virtio-serial, on virtio-mmio and on PCI, as
    on Virtualization.framework."""
    needed()
    for bus in BUSES:
        found = tree(context, ",gic-version=3", "max")
        found.drop("/pl011@9000000")
        found.drop("/chosen", "stdout-path")
        words = ("-device", f"virtio-serial-{bus}", *CONSOLE, *written(context, found))
        boot(context, 3, "max", bus, "kernel", words=words, serial="none")


# A serial port of QEMU in place of Firecracker's: a 16550 behind the window of PCI's ports, where
# the test gives it an address, as firmware would.
PORTS, CONFIGURATION = 0x3EFF_0000, 0x40_1000_0000
PLACE, OFFSET = 2, 0x1000
KEPT = ("chosen", "cpus", "intc", "memory", "psci", "timer", "apb-pclk", "pl031", "virtio_mmio")


def firecrackers(context):
    """A tree with the nodes that Firecracker writes (src/vmm/src/arch/aarch64/fdt.rs)."""
    found = tree(context, ",gic-version=3,its=off", "neoverse-n1")
    for name in found.names():
        if name.split("@")[0] not in KEPT:
            found.drop(f"/{name}")
    for name in ("stdout-path", "rng-seed", "kaslr-seed"):
        found.drop("/chosen", name)
    found.set("/psci", "compatible", "arm,psci-0.2")
    line = (0, 3 + PLACE % 4, 4)
    where = PORTS + OFFSET
    clock = int.from_bytes(found.get("/apb-pclk", "phandle"), "big")
    found.add(f"uart@{where:x}", compatible="ns16550a", reg=(0, where, 0, 0x1000),
              interrupts=line, clocks=(clock,), clock_names="apb_pclk")  # fmt: skip
    return found


def give_address(context, path):
    """Sets the first register of ports of the serial port, and enables it, before the machine
    runs."""
    with attach(path) as wire:
        wire.settimeout(PATIENCE)
        answers = wire.makefile("r")
        place = CONFIGURATION + (PLACE << 15)
        for at, value in ((0x10, OFFSET), (4, 1)):
            wire.sendall(f"writel {place + at:#x} {value:#x}\n".encode())
            assert answers.readline() == "OK\n"


@test(limit=120)
def as_firecracker_is(context):
    """A machine without PCI, ACPI and QEMU's devices, by a tree in the shape of Firecracker's:
    virtio-mmio, GICv3 without ITS, PSCI by `hvc`, and a 16550 that takes input by interrupts. The
    devices are QEMU's; where the 16550 lies is the test's choice."""
    needed()
    qtest, monitor = context.path("qtest"), context.path("qmp")
    words = written(context, firecrackers(context))
    port = ("-chardev", "stdio,id=console,signal=off")
    port += ("-device", f"pci-serial,addr={PLACE:#x},chardev=console")
    control = ("-S", "-qtest", f"unix:{qtest},server=on,wait=off", "-qtest-log", "none")
    control += ("-qmp", f"unix:{monitor},server=on,wait=off")
    for path, arguments in ((MACHINE, PEER), ("tests/programs/read_lines.exe", ())):
        command = qemu(",gic-version=3,its=off", "neoverse-n1", *words, *port, *control,
                       *by_kernel(context, path, arguments), *devices(context, "device"),
                       "-device", "virtio-rng-device",
                       serial="none")  # fmt: skip
        child = context.child(command, stdin=subprocess.PIPE)
        control_of = Monitor(monitor)
        give_address(context, qtest)
        control_of.ask("cont")
        if path != MACHINE:
            child.wait_line("ready")
            child.process.stdin.write(b"one\nend\n")
            child.process.stdin.flush()
        status, text = outcome(child, context)
        expected = "all works\n" if path == MACHINE else "got [one]\n"
        assert status == 0 and expected in text and text.endswith("soil: status 0\n"), text


@test(limit=120)
def the_button_of_a_disks_machine(context):
    """By UEFI the power button is a generic event of ACPI, else a pin of a PL061: a program's
    handler of SIGTERM runs."""
    needed()
    for number, loads in enumerate(
        (
            by_disk(context, "pci", SIGNALS, ("term",)),
            by_kernel(context, SIGNALS, ("term",)),
        )
    ):
        path = context.path(f"button-{number}")
        words = ("-qmp", f"unix:{path},server=on,wait=off")
        child = context.child(qemu(",gic-version=3", "max", *loads, *words))
        child.wait_line("ready")
        # From then on it takes requests.
        assert falls_asleep(child.pid, 0.3), "the machine doesn't halt"
        Monitor(path).ask("system_powerdown")
        _, text = outcome(child, context)
        assert "asked to stop\nthe end\n" in text and text.endswith("soil: status 7\n"), text
