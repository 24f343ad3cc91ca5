"""Machines with several processors: each starts on demand and reports itself, and the end of the
machine comes from any of them."""

import os
import re
import sys
import time

from cases.machines import Bare, attach
from harness import stalls
from harness.context import MACHINES, PROCESSOR, SOIL, Skip, clean, executable
from harness.runner import test

PROGRAM = "tests/programs/processors/processors.exe"
COUNTS = (1, 2, 4, 8)
# Of short and of long runs. An emulated machine of more processors than the host has takes minutes.
FEW, MANY = COUNTS[:2], COUNTS[2:]
FORM = MACHINES[0]
DOMAINS = "tests/programs/processors/domains.exe"
SCHEDULERS = "tests/programs/processors/schedulers.exe"
BARRIER = "tests/programs/processors/barrier.exe"
SPAWNS = "tests/programs/unmodified/runtime_events/spawns.exe"
ALLOCATIONS = "tests/programs/processors/allocations.exe"
OWN_MALLOC = "tests/programs/processors/own_malloc.exe"
STALLS = os.path.join(os.path.dirname(stalls.__file__), "stalls.py")
TOGETHER = "tests/programs/processors/together.exe"
VANISHING = "tests/programs/processors/vanishing.exe"
# Calls on memory that vanishes, see vanishing.c.
OF_VANISHING = (
    "read of a pipe",
    "write to a pipe",
    "readv of a pipe",
    "read of a stream",
    "recv of a stream",
    "write to a stream",
    "recv of datagrams",
    "write of datagrams",
    "pread",
    "pwrite",
    "pread of a disk",
    "fstat",
    "clock_gettime",
    "nanosleep",
    "poll",
    "select",
    "futex",
    "timeout of a futex",
    "access",
    "sigprocmask",
    "waits",
)
DEVICES = "tests/programs/processors/devices_of_others.exe"
AFFINITY = "tests/programs/processors/affinity.exe"
# See affinity.c.
OF_AFFINITY = ("own", "running", "waiting", "sharing", "errors")
# What threads do there, see together.c.
SUBJECTS = (
    "processors",
    "registers",
    "vectors",
    "turns",
    "broadcasts",
    "robust",
    "clocks",
    "sleeps",
    "creations",
    "cancellation",
    "signals",
    "interrupts",
    "descriptors",
    "calls",
    "mappings",
    "discards",
    "allocations",
    "files",
)
# What domains do there, see domains.ml.
OF_DOMAINS = (
    "results: in order",
    "collections: nothing is lost",
    "exceptions: of each domain",
    "exceptions: the same again",
    "exceptions: Stack_overflow in each domain",
    "storage: of each domain",
    "storage: from the parent",
    "numbers: each its own, in order",
    "the main domain: only one",
    "at_exit: the last one first, before the join",
    "atomics: nothing is lost",
    "mutexes: nothing is lost",
    "conditions: nothing is lost",
    "semaphores: never more than two",
    "threads: three in each domain",
    "pipes: of all domains at once",
    "files: of all domains at once",
    "sockets: of all domains at once",
    "collections: nothing is lost",
    "waits: beside collections",
)
AT_EXIT = "at_exit of the program"
# How a program with domains ends, its status, and what it prints.
ENDS = (
    ("main-exits", 3, [AT_EXIT]),
    ("main-returns", 0, [AT_EXIT]),
    ("domain-exits", 4, [AT_EXIT]),
    ("uncaught", 2, [AT_EXIT, 'Fatal error: exception Failure("in a domain")']),
    ("killed", 143, []),
    ("domain-killed", 143, []),
    ("unjoined", 0, [AT_EXIT]),
)


def runs(count):
    """What the program prints."""
    others = "".join(f"processor {number} runs\n" for number in range(1, count))
    return f"{count} processors\n{others}{count} identities\n"


def run(context, form, cpus, *words, program=PROGRAM, options=()):
    """The status and the output on a machine with so many processors."""
    child = context.soil(program, form, *words, options=["--cpus", str(cpus), *options])
    return child.finish(context.remaining()), clean(child.text)


def of_domains(output, domains, cpus):
    """What domains print apart from the line that they outnumber the processors, which has to be
    there where they do, the first one included."""
    said = [line for line in output.splitlines() if "collection of garbage waits until" in line]
    assert len(said) == (domains >= cpus), output
    return [line for line in output.splitlines() if line not in said]


def check_threads(context, form, counts):
    """Runs the whole of together.c."""
    for count in counts:
        found = run(context, form, count, "all", program=TOGETHER)
        lines = [f"{subject}: as expected\n" for subject in SUBJECTS]
        assert found == (0, "".join(lines) + f"on {count}\n"), found


def check_domains(context, form, domains, cpus):
    """Runs the whole of domains.ml."""
    # Each domain has 2 MiB for new values.
    memory = ["--mem", "256M"]
    status, output = run(context, form, cpus, str(domains), "all", program=DOMAINS, options=memory)
    lines = of_domains(output, domains, cpus)
    assert (status, lines) == (0, [f"recommended: {cpus}", *OF_DOMAINS]), (status, output)


def check_allocations(context, form, cpus, *words):
    """The status and the output of allocations.ml in four domains."""
    memory = ["--mem", "256M"]
    status, output = run(context, form, cpus, "4", *words, program=ALLOCATIONS, options=memory)
    return status, of_domains(output, 4, cpus)


def vanished():
    """What vanishing.c prints."""
    return "".join(f"{call}: as expected\n" for call in OF_VANISHING)


def large_file(context):
    """A disk with a file `large`, of which a machine of 64 MiB caches a part."""
    folder, disk = context.path("files"), context.memory_path("disk")
    os.makedirs(folder)
    with open(os.path.join(folder, "large"), "wb") as file:
        file.write(b"l" * (96 << 20))
    with open(disk, "wb") as file:
        file.truncate(128 << 20)
    context.run("mkfs.ext4", "-q", "-d", folder, disk)
    return disk


def on_processors(count):
    """What affinity.c prints."""
    lines = "".join(f"{subject}: as expected\n" for subject in OF_AFFINITY)
    return f"{count}, recommended: {count}\n{lines}recommended to a domain: {count}\n"


def add(form):
    @test(name=f"start-{form}", limit=180)
    def start(context):
        """One, two, four and eight processors start, and a thread runs on each."""
        for count in COUNTS:
            found = run(context, form, count)
            assert found == (0, runs(count)), found

    @test(name=f"spawns-beside-events-{form}", limit=180)
    def spawns_beside_events(context):
        """A program that is only linked with Runtime_events has room for eight domains on one
        processor. Beyond that the exception comes with a line that says why and what mends it."""
        memory = ["--mem", "256M"]
        for count, made in ((7, 7), (8, 7)):
            status, output = run(context, form, 1, str(count), program=SPAWNS, options=memory)
            lines = of_domains(output, count, 1)
            refused = [] if made == count else [
                "soil: Domain.spawn fails: a program with Runtime_events has room for 8 domains on "
                "this machine: give more processors (soil run --cpus), or OCAMLRUNPARAM=d=9",
                "failed to allocate domain",
            ]  # fmt: skip
            assert (status, lines) == (0, [*refused, f"{made} domains"]), (status, output)

    @test(name=f"crash-{form}", limit=180)
    def crash(context):
        """The report names the processor at fault and the others, whichever it is."""
        for which in range(3):
            status, output = run(context, form, 3, "crash", str(which))
            assert status == 139, output
            others = [number for number in range(3) if number != which]
            said = [rf"processor {which}, thread \d+, at fault:", r".*\bfault_on_a_processor"]
            said += [rf"processor {number}(, thread \d+)?:" for number in others]
            for text in said:
                assert re.search(f"^{text}", output, re.MULTILINE), f"{text} is missing:\n{output}"
            assert "could not be stopped" not in output, output

    @test(name=f"crash-at-once-{form}", limit=180)
    def crash_at_once(context):
        """Of processors that crash at the same time one reports; the others stop."""
        status, output = run(context, form, 4, "crash-all")
        assert status == 139 and output.count("at fault:") == 1, output

    @test(name=f"exit-{form}", limit=180)
    def leave(context):
        """The status is that of the processor that ends the program."""
        for which in range(3):
            status, output = run(context, form, 3, "exit", str(which))
            assert (status, output) == (7, runs(3)), output

    @test(name=f"spins-{form}", limit=180)
    def spins(context):
        """The machine ends although a processor computes with interrupts disabled. An NMI stops it
        on a PC; arm64 has none, so that it runs on beside the report, which says so."""
        status, output = run(context, form, 2, "spin", "crash")
        assert status == 139 and "processor 0, thread 1, at fault:" in output, output
        text = "it could not be stopped" if PROCESSOR == "aarch64" else "spin_here"
        assert text in output, f"{text!r} is missing from:\n{output}"
        status, output = run(context, form, 2, "spin", "exit")
        assert (status, output) == (7, runs(2)), output

    @test(name=f"threads-{form}", limit=300)
    def threads(context):
        """Threads of C on one and two processors: futexes, robust mutexes, cancellation, signals to
        threads that run, memory that is replaced under readers, allocation."""
        check_threads(context, form, FEW)

    @test(name=f"vectors-{form}", limit=180)
    def vectors(context):
        """Threads keep the vector registers of a processor with AVX, which other threads and
        handlers of signals change."""
        for count in FEW:
            cpu = ["--cpu", "max"]
            found = run(context, form, count, "vectors", program=TOGETHER, options=cpu)
            assert found == (0, f"vectors: as expected\non {count}\n"), found

    @test(name=f"threads-on-many-{form}", limit=1800, long=True)
    def threads_on_many(context):
        """The same on four and eight."""
        check_threads(context, form, MANY)

    @test(name=f"vanishing-{form}", limit=300)
    def vanishing(context):
        """Memory that one thread unmaps, closes or replaces under system calls of another: they
        succeed, transfer less, or fail with EFAULT, also those that wait meanwhile."""
        options = ["--disk", f"data={large_file(context)}"]
        words = ["/tmp/vanishing", "/data/large"]
        for count in FEW:
            found = run(context, form, count, *words, program=VANISHING, options=options)
            assert found == (0, vanished()), found

    @test(name=f"affinity-{form}", limit=300)
    def affinity(context):
        """Threads run on the processors that they are for, wherever they were, and inherit them;
        the first one's are chosen before there are others."""
        for count, wanted in ((2, 2), (4, 3)):
            found = run(context, form, count, str(wanted), program=AFFINITY)
            assert found == (0, on_processors(wanted)), found

    @test(name=f"threads-end-{form}", limit=180)
    def threads_end(context):
        """Memory that one thread unmaps or protects faults for one that has used it on another
        processor; and the end comes from a thread on any of them, beside others that compute, or
        that use the address space when they are stopped."""
        for which in range(3):
            for deed, status, text in (
                ("unmapped", 139, "page fault: read"),
                ("protected", 139, "page fault: write"),
                ("abort", 134, "SIGABRT"),
                ("unmapping", 134, "SIGABRT"),
                ("exit", 7, ""),
            ):
                found = run(context, form, 4, deed, str(which), program=TOGETHER)
                assert found[0] == status and text in found[1], (deed, which, found)
                assert "no fault" not in found[1] and "stale" not in found[1], found
                # Two others compute, and the first thread waits or yields.
                if status != 7:
                    others = re.findall(r"^processor \d, thread \d+:$", found[1], re.MULTILINE)
                    assert len(others) >= 2 and "thread 1" in found[1], found

    @test(name=f"domains-{form}", limit=600)
    def domains(context):
        """Domains on one and two processors: results, exceptions, stack overflows, storage,
        at_exit, what they share, threads in each, system calls of all at once."""
        for count in FEW:
            check_domains(context, form, 4, count)

    @test(name=f"schedulers-{form}", limit=600)
    def schedulers(context):
        """Soil's tasks in four domains on one, two and four processors: what crosses between them,
        cancellations, connections that each domain accepts."""
        for count in (*FEW, 4):
            memory = ["--mem", "256M"]
            status, output = run(context, form, count, program=SCHEDULERS, options=memory)
            lines = of_domains(output, 3, count)
            assert (status, len(lines), lines[-1:]) == (0, 25, ["of the first domain"]), output

    @test(name=f"domains-on-many-{form}", limit=1800, long=True)
    def domains_on_many(context):
        """The same on four and eight."""
        for count in MANY:
            check_domains(context, form, 4, count)

    @test(name=f"allocations-{form}", limit=300)
    def allocations(context):
        """C's allocator in four domains, and blocks that others free: no block is in use twice;
        all memory is there for other sizes; a block that is freed twice ends the program."""
        for cpus in FEW:
            found = check_allocations(context, form, cpus, "exhausted")
            assert found == (0, ["shared: as expected", "exhausted: as expected"]), (cpus, found)
        status, lines = check_allocations(context, form, 2, "twice")
        assert status == 134 and any("this block is free already" in line for line in lines), lines

    @test(name=f"allocations-on-many-{form}", limit=1800, long=True)
    def allocations_on_many(context):
        """The same on four and eight."""
        for cpus in MANY:
            found = check_allocations(context, form, cpus, "exhausted")
            assert found == (0, ["shared: as expected", "exhausted: as expected"]), (cpus, found)

    @test(name=f"domains-end-{form}", limit=300)
    def domains_end(context):
        """The program's end beside domains that compute: from the first domain, from another one,
        by an exception that a join raises again, by a signal; one that no domain joins ends only
        its domain."""
        for cpus in (1, 2, 4):
            for deed, status, text in ENDS:
                found = run(context, form, cpus, "3", deed, program=DOMAINS)
                assert found[0] == status, (cpus, deed, found)
                assert of_domains(found[1], 3, cpus) == text, (cpus, deed, found)


for each in MACHINES:
    add(each)


@test(limit=3600, long=True)
def domains_outnumber_processors(context):
    """Thirty-two domains on one and on two processors do the same, with one line about it."""
    for cpus in (1, 2):
        check_domains(context, FORM, 32, cpus)


@test(limit=180)
def domains_of_a_process(context):
    """Domains of a process do the same."""
    child = context.soil(DOMAINS, "process", "4", "all")
    status = child.finish(context.remaining())
    recommended = f"recommended: {len(os.sched_getaffinity(0))}"
    assert (status, child.text.splitlines()) == (0, [recommended, *OF_DOMAINS]), child.text
    for deed, status, text in ENDS:
        child = context.soil(DOMAINS, "process", "3", deed)
        # `soil run` says so of a process that a signal ended.
        said = [f"soil: the program was ended by signal {status - 128}"] if status > 128 else []
        found = child.finish(context.remaining()), child.text.splitlines()
        assert found == (status, text + said), (deed, found)


@test(limit=180)
def own_malloc(context):
    """A program that defines `malloc` has its own in both forms."""
    for form in (FORM, "process"):
        child = context.soil(OWN_MALLOC, form, options=["--cpus", "2"] * (form == FORM))
        status = child.finish(context.remaining())
        lines = clean(child.text).splitlines()
        assert (status, lines) == (0, ["the program's own allocator"]), (form, status, lines)


@test(limit=180)
def allocations_of_a_process(context):
    """C's allocator in domains of a process does the same."""
    child = context.soil(ALLOCATIONS, "process", "4", "shared")
    status = child.finish(context.remaining())
    assert (status, child.text) == (0, "shared: as expected\n"), (status, child.text)


@test(limit=180)
def vanishing_of_a_process(context):
    """A process does the same with memory that vanishes."""
    with open(context.path("large"), "wb") as file:
        file.truncate(8 << 20)
    words = [context.path("vanishing"), context.path("large")]
    child = context.soil(VANISHING, "process", *words)
    assert (child.finish(context.remaining()), child.text) == (0, vanished()), child.text


@test(limit=180)
def affinity_of_a_process(context):
    """A process's threads do the same on the host's processors."""
    count = min(2, len(os.sched_getaffinity(0)))
    child = context.soil(AFFINITY, "process", str(count))
    found = child.finish(context.remaining()), child.text
    assert found == (0, on_processors(count)), found


@test(limit=300)
def blocking_sections(context):
    """A domain that enters and leaves blocking sections without a pause doesn't keep another one's
    collections from their end (ocaml/ocaml#15042)."""
    for cpus in (1, 2, 4):
        found = run(context, FORM, cpus, "200", program=BARRIER)
        lines = of_domains(found[1], 1, cpus)
        assert found[0] == 0, found
        assert lines == ["each collection ended", "beside the other domain"], found


@test(limit=180)
def without_tables(context):
    """Without ACPI a broadcast starts them, as many as are wanted."""
    for count in COUNTS:
        devices = ["-smp", str(count), "-device", "isa-debug-exit,iobase=0xf4,iosize=0x4"]
        bare = Bare(context, PROGRAM, "microvm,acpi=off", devices=devices)
        status, text, _ = bare.ends()
        # The device shifts it and adds one: 0.
        assert status == 1 and runs(count) in clean(text), (status, text)


def beside_stalls(context, program, count, words, seed):
    """What a program prints on so many processors, of which the host stops one now and then."""
    devices = ["-smp", str(count), "-m", "512M"]
    if PROCESSOR == "aarch64":
        machine, expected, told = "virt", 0, "soil: status 0\n"
    else:
        machine, expected, told = "q35", 1, ""
        devices += ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x4"]
    bare = Bare(context, program, machine, *words, devices=devices, name=f"stalls-{seed}")
    threads = [str(each["thread-id"]) for each in bare.monitor.ask("query-cpus-fast")]
    assert len(threads) == count, threads
    staller = context.child([sys.executable, STALLS, str(seed), *threads])
    status, text, _ = bare.ends()
    assert staller.finish(context.remaining()) == 0, staller.text
    if "not permitted" in staller.text:
        raise Skip(f"ptrace of another process is {staller.text.strip()}: run as root")
    assert status == expected and text.endswith(told), (seed, status, text)
    return clean(text).removesuffix(told)


@test(limit=180)
def turns_beside_stalls(context):
    """Threads change turns on two processors of which one stops now and then."""
    text = beside_stalls(context, TOGETHER, 2, ["turns"], 1)
    assert text.endswith("turns: as expected\non 2\n"), text


@test(limit=5400, long=True)
def an_hour_beside_stalls(context):
    """Threads of C, and domains, on four and on eight processors that stop now and then."""
    begun = time.monotonic()
    seed = 0
    while time.monotonic() - begun < 3600:
        seed += 1
        count = 4 << seed % 2
        text = beside_stalls(context, TOGETHER, count, ["all"], seed)
        assert text.endswith(f"on {count}\n"), (seed, text)
        text = beside_stalls(context, DOMAINS, count, [str(count), "all"], seed)
        assert text.endswith(f"{OF_DOMAINS[-1]}\n"), (seed, text)


@test()
def bad_numbers(context):
    """`soil run` names the bounds."""
    for number in ("0", "65", "-1", "many"):
        program = executable(PROGRAM, FORM)
        done = context.run(SOIL, "run", program, f"--cpus={number}", check=False)
        assert done.returncode == 2 and "1 to 64 processors" in done.stderr, done


@test(limit=240)
def times_of_processors_that_nobody_promises(context):
    """A q35 that hides its hypervisor: counters of an invariant rate are compared while the
    processors start, and others make the time the latest that any has seen. Time goes on for all
    threads in both."""
    if PROCESSOR != "x86_64":
        raise Skip("the counters of arm64 are one")
    said = "the processors' counters may run at different rates: the time is the latest"
    for word, expected in (("-invtsc", 1), ("+invtsc", 0)):
        cpu = f"max,-hypervisor,{word}"
        options = ["--qemu-arg", "-cpu", "--qemu-arg", cpu]
        status, text = run(context, "q35", 2, "clocks", program=TOGETHER, options=options)
        if expected == 0 and "doesn't support requested feature" in text:
            continue
        assert status == 0 and "clocks: as expected\n" in text, f"{cpu}:\n{text}"
        assert text.count(said) == expected, f"{cpu}:\n{text}"


@test(limit=180)
def random_device_stalled(context):
    """The random device doesn't answer while threads on both processors draw the first numbers of a
    machine whose processors have none: a third thread runs, and both draw once it answers."""
    for machine in MACHINES:
        path = context.path(f"entropy-{machine}")
        bus = {"q35": "pci"}.get(machine, "device")
        devices = ["-smp", "2", "-chardev", f"socket,id=egd,path={path},server=on,wait=off"]
        devices += ["-object", "rng-egd,id=stalled,chardev=egd"]
        devices += ["-device", f"virtio-rng-{bus},rng=stalled"]
        cpu = "qemu64" if PROCESSOR == "x86_64" else "cortex-a57"
        bare = Bare(context, DEVICES, machine, "draw", devices=devices, name="draw", cpu=cpu)
        source = attach(path)
        # A request: its kind, and how many bytes.
        kind, count = source.recv(2)
        assert kind == 2, kind
        seen = 0
        for _ in range(5):
            line = bare.child.wait_line("another thread runs", after=seen)
            seen = bare.child.lines.index(line) + 1
        assert "both have drawn" not in bare.child.text, bare.child.text
        source.sendall(bytes(range(count)))
        bare.child.wait_line("both have drawn")
        status, text, _ = bare.ends()
        assert "random numbers come from" not in text, text


def destinations(bare, machine):
    """The processors that the devices' lines (microvm), or the disk's messages (q35), interrupt."""
    if machine == "microvm":
        pins = re.findall(r"pin \d+ .*dest=(\d+) .*", bare.human("info pic"))
        lines = re.findall(r"pin \d+ .*", bare.human("info pic"))
        assert len(pins) == len(lines), lines
        return [int(pin) for pin, line in zip(pins, lines) if "masked" not in line]
    disk = re.split("1af4:10(?:01|42)", bare.human("info pci"))[1]
    table = re.search(r"BAR1: 32 bit memory at (0x[0-9a-f]+)", disk)[1]
    words = bare.human(f"xp /8wx {table}")
    entries = [int(word, 16) for word in re.findall(r"0x[0-9a-f]{8}\b", words)][::4]
    return [address >> 12 & 0xFF for address in entries if address]


def a_disk(context):
    """A disk with the file `file`."""
    folder, disk = context.path("files"), context.memory_path("disk")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "file"), "w") as file:
        file.write("content")
    with open(disk, "wb") as file:
        file.truncate(8 << 20)
    context.run("mkfs.ext4", "-q", "-d", folder, disk)
    return disk


@test(limit=180)
def first_scan_by_another_processor(context):
    """The second processor is the first to use the devices of a microvm: they interrupt the boot
    processor all the same. So does the disk of a q35, which the boot has found."""
    if PROCESSOR != "x86_64":
        raise Skip("QEMU's monitor shows the routes of PCs")
    for machine in ("microvm", "q35"):
        bus = {"q35": "pci"}.get(machine, "device")
        drive = f"if=none,id=d,format=raw,file={a_disk(context)}"
        devices = ["-smp", "2", "-drive", drive]
        devices += ["-device", f"virtio-blk-{bus},drive=d,serial=data"]
        bare = Bare(context, DEVICES, machine, "scan", "/data/file", devices=devices, name="scan")
        bare.child.wait_line("the second processor has found the disk")
        routes = destinations(bare, machine)
        assert routes and set(routes) == {0}, (machine, routes)
        bare.child.process.stdin.write(b"end\n")
        bare.child.process.stdin.flush()
        _, text, _ = bare.ends()
        assert "end\n" in text, text
