"""Under KVM: kinds of machines with numbers of processors, models of processors, interrupt
controllers and kinds of disks."""

import subprocess

from cases import block_devices, network, processors
from harness import kvm, nvme, scsi
from harness.console import PATIENCE
from harness.context import QEMU, Skip
from harness.runner import test

MACHINES = ("microvm", "q35", "pc")
CPUS = (1, 2, 4)
MODELS = {
    "host": "host",
    "qemu64": "qemu64",
    "without-kvmclock": "host,-kvmclock",
    "without-stable-kvmclock": "host,-kvmclock-stable-bit",
    "hyper-v": "host,hv-relaxed,hv-vapic,hv-spinlocks=0x1fff,hv-time,hv-vpindex,hv-synic,hv-stimer",
    "without-x2apic": "host,-x2apic",
    "without-invtsc": "host,-invtsc",
}
LEGACY = ["--device-option=blk:disable-modern=on", "--device-option=blk:disable-legacy=off"]
CONTROLLERS = ("on", "split", "off")


def starts(machine, *words):
    """QEMU's complaint about a machine with these options, None if it starts."""
    command = [QEMU, "-M", f"{machine},accel=kvm", *words, "-S", "-nodefaults", "-display", "none"]
    with subprocess.Popen(
        [*command, "-monitor", "stdio"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        _, errors = started.communicate("quit\n", timeout=PATIENCE)
        return errors.strip() if started.returncode else None


def need(machine, *words):
    if problem := starts(machine, *words):
        raise Skip(problem.splitlines()[-1])


def on_all_counts(context, machine, options):
    """Starts so many processors, with each number."""
    for count in CPUS:
        status, output = processors.run(context, machine, count, options=options)
        # Without kvmclock a line says that there is no wall clock.
        assert status == 0 and output.endswith(processors.runs(count)), (count, status, output)


def add(machine):
    for name, model in MODELS.items():

        @test(name=f"{machine}-{name}", limit=180, long=True)
        def of_model(context, model=model):
            """One, two and four processors of each model start."""
            need(machine, "-cpu", model)
            on_all_counts(context, machine, ["--cpu", model])

    for kind in CONTROLLERS:

        @test(name=f"{machine}-irqchip-{kind}", limit=180, long=True)
        def of_controller(context, kind=kind):
            """KVM's interrupt controllers, all, only the local ones, or none of them."""
            words = ["-machine", f"kernel-irqchip={kind}"]
            need(machine, *words)
            options = [each for word in words for each in ("--qemu-arg", word)]
            on_all_counts(context, machine, options)

    @test(name=f"{machine}-echo", limit=180, long=True)
    def echo(context):
        """Echo by TCP."""
        network.tcp_echo(context, machine)

    @test(name=f"{machine}-disks", limit=300, long=True)
    def disks(context):
        """Lists of slices on each kind of disk that the machine has."""
        kinds = {"virtio": []}
        if machine != "microvm":
            kinds["legacy virtio"] = LEGACY
            kinds["NVMe"] = ["--qemu", nvme.controllers(context, "qemu-nvme")]
            kinds["SCSI"] = ["--qemu", scsi.adapter(context, "qemu-scsi")]
        for kind, options in kinds.items():
            path = block_devices.disk(context, f"{kind}.img")
            output = block_devices.run(context, machine, ["vectors"], {"data": path}, options)
            assert "durable write: true" in output, f"{kind}: {output}"


for each in MACHINES if kvm.KIND else ():
    add(each)
