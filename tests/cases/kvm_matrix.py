"""Under KVM: kinds of machines with numbers of processors, models of processors, interrupt
controllers and kinds of disks, and the main subjects of the other tests in sizes that end at a
million instructions a second."""

import subprocess

from cases import block_devices, clocks, network, processors, programs, storage_kills, website
from harness import kvm, nvme, scsi
from harness.console import PATIENCE
from harness.context import QEMU, Skip, outcome
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
    "dedicated": "host,kvm-hint-dedicated=on",
    "without-pv-flush": "host,-kvm-pv-tlb-flush",
}
LEGACY = ["--device-option=blk:disable-modern=on", "--device-option=blk:disable-legacy=off"]
# Of together.c.
SUBJECTS = ("registers", "robust", "broadcasts", "sleeps")
# Of domains.ml.
DEEDS = ("main-exits", "domain-killed")
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

    @test(name=f"{machine}-disks", limit=180, long=True)
    def disks(context):
        """Lists of slices on each kind of disk that the machine has."""
        kinds = {"virtio": []}
        if machine != "microvm":
            kinds["legacy virtio"] = LEGACY
            kinds["NVMe"] = ["--qemu", nvme.controllers(context, "qemu-nvme")]
            kinds["SCSI"] = ["--qemu", scsi.adapter(context, "qemu-scsi")]
        for kind, options in kinds.items():
            path = block_devices.disk(context, f"{kind}.img")
            words = ["vectors", "few"]
            output = block_devices.run(context, machine, words, {"data": path}, options)
            assert "false" not in output, f"{kind}: {output}"
            assert "durable write: true" in output, f"{kind}: {output}"

    @test(name=f"{machine}-website", limit=180, long=True)
    def pages(context):
        """Every page of the website's disk is the same."""
        disk, tap = website.disk_with(context, {}), context.tap()
        options = ["--disk", f"www={disk}"]
        child = context.soil("examples/website/main.exe", machine, tap=tap, options=options)
        child.wait_line("http://")
        website.same_pages(context, f"http://{tap.guest}")

    @test(name=f"{machine}-threads", limit=180, long=True)
    def threads(context):
        """Threads on two processors."""
        for subject in SUBJECTS:
            found = processors.run(context, machine, 2, subject, program=processors.TOGETHER)
            assert found == (0, f"{subject}: as expected\non 2\n"), (subject, found)

    @test(name=f"{machine}-preempted", limit=180, long=True)
    def preempted(context):
        """Pages are taken away under processors that don't run: KVM flushes for them, nothing is
        lost."""
        report = context.path("report")
        options = ["--qemu", kvm.preempting(context.path("preempting-qemu"), report)]
        found = processors.run(
            context, machine, 3, "discards", program=processors.TOGETHER, options=options
        )
        assert found[0] == 0 and found[1].endswith("discards: as expected\non 3\n"), found
        with open(report, encoding="utf-8") as file:
            assert int(file.read()) > 0, "KVM was never asked to flush"

    @test(name=f"{machine}-domains", limit=180, long=True)
    def domains(context):
        """A program ends beside two domains that compute, on two processors."""
        for deed, expected, lines in processors.ENDS:
            if deed not in DEEDS:
                continue
            words = ("2", deed)
            found = processors.run(context, machine, 2, *words, program=processors.DOMAINS)
            status, output = found
            assert status == expected, (deed, found)
            assert all(line in output for line in lines), (deed, found)

    @test(name=f"{machine}-killed-ext4", limit=180, long=True)
    def killed(context):
        """QEMU is killed twice while a program writes and syncs: what was synced is there."""
        storage_kills.kill(context, "none", 2, form=machine)

    @test(name=f"{machine}-clock", limit=90, long=True)
    def beside_hosts_clock(context):
        """The machine's clock beside the host's."""
        clocks.keeps_time(context, machine, (0.5, 2))

    @test(name=f"{machine}-signals", limit=90, long=True)
    def signals(context):
        """Handlers of signals, masks, and the end by a signal."""
        status, output = outcome(context.soil("signals", machine, "itself"), context)
        assert (status, output) == (138, programs.expected("signals")), (status, output)


for each in MACHINES if kvm.KIND else ():
    add(each)
