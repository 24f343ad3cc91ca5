"""The context of a test: its own directory, TAPs, children that end with it, and `soil run`."""

import contextlib
import os
import platform
import re
import shutil
import signal
import stat
import subprocess
import time

from harness import flaky, kvm, sandbox
from harness.console import Child
from harness.tap import Tap

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOIL = os.environ.get("SOIL", os.path.join(ROOT, "_build", "default", "tools", "soil"))
LOAD = os.path.join(ROOT, "_build", "default", "tests", "programs", "load.exe")
# The architecture of the images: this machine's, or the one of `tests/run.py --arch`.
ARCH = os.environ.get("SOIL_TEST_ARCH", "")
# QEMU's accelerator where a test starts it itself, for machines that `soil run` would start by KVM.
ACCEL = "kvm" if kvm.KIND else "tcg"
# QEMU's warnings, of more processors than the host's and of features that its KVM lacks.
WARNINGS = re.compile(r"[^\n]*(?:QEMU|qemu-system-[^\n]*): warning: [^\n]*\n")
# The processor of the images, and their QEMU.
PROCESSOR = ARCH or platform.machine()
QEMU = os.environ.get("SOIL_QEMU", f"qemu-system-{PROCESSOR}")
# The beginning of the names of binutils for them.
BINUTILS = f"{ARCH}-linux-gnu-" if ARCH else ""
# The processors of the tests' own programs as images, one by default (`tests/run.py --cpus`).
CPUS = os.environ.get("SOIL_TEST_CPUS", "")
# A symbol of images whose first thread starts the other processors.
OF_SEVERAL = b"soil_at_first_thread"
# The end of the names of QEMU's virtio devices. `virt` has both transports.
TRANSPORT = {"virt": "device", "microvm": "device", "q35": "pci", "pc": "pci"}
# The process on Linux's own sockets, whose peers are on the loopback.
SOCKETS = "sockets"
# The process of this machine where a test compares an image with Linux, whatever the image's
# processor; and programs for Linux guests, which have this machine's processor.
REFERENCE = "reference"
ONLY_HERE = ("process", SOCKETS)


def forms_of(*forms):
    """The forms of a test: with --arch the image alone, once for all kinds of machines; with --kvm
    the machines."""
    if ARCH:
        return ("virt",) if set(forms) - {*ONLY_HERE} else ()
    return tuple(form for form in forms if not kvm.KIND or form not in ONLY_HERE)


FORMS = forms_of("process", "microvm", "q35")
MACHINES = forms_of("microvm", "q35")
FORMS_AND_SOCKETS = forms_of("process", "microvm", "q35", SOCKETS)
TAPS_OF_A_TEST = 8
MEMORY = "/dev/shm"
TOKENS = ("mirage-crypto-pk", "mirage-crypto-ec", "yojson")
# Programs that dune leaves out where their libraries, by findlib's names, aren't installed: not
# every Debian has these.
OPTIONAL = {
    "examples/live/main.exe": ("yojson", "zip"),
    "examples/store/main.exe": ("pgocaml", "x509", "yojson"),
    "examples/store/office.exe": ("pgocaml", "yojson"),
    "packages/soil-web/acme/test/main.exe": ("x509", "yojson"),
    "packages/soil-web/jwt/test/main.exe": TOKENS,
    "packages/soil-web/oidc/test/test_oidc.exe": TOKENS,
    "packages/soil-sight/otel/test/main.exe": ("logs", "yojson"),
    "tests/programs/acme/acme_ca.exe": ("x509", "yojson"),
    "tests/programs/browsers/browsers.exe": ("zip",),
    "tests/programs/grpc/grpc_client.exe": ("zip",),
    "tests/programs/grpc/grpc_server.exe": ("zip",),
    "tests/programs/grpc/strangers.exe": ("zip",),
    "tests/programs/guestbook/by_eio.exe": ("eio_main",),
    "tests/programs/libraries/awaiting.exe": ("domain-local-await",),
    "tests/programs/libraries/fibers.exe": ("eio_main",),
    "tests/programs/libraries/linearizable.exe": ("qcheck-lin.domain", "qcheck-stm.domain"),
    "tests/programs/libraries/lock_free.exe": ("saturn",),
    "tests/programs/libraries/parallel.exe": ("domainslib",),
    "tests/programs/services/caqti_client.exe": ("caqti.blocking", "caqti-driver-postgresql"),
}
# Statuses of a child that crashed, and of `soil run` whose program did.
CRASHES = {
    status
    for name in ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP")
    for status in (-signal.Signals[name], 128 + signal.Signals[name])
}


class Skip(Exception):
    """The machine can't run this test; the message says why and what to do."""


# The programs whose images for ARCH, or under KVM, this test has used.
USED = set()
# Options of `soil run` for images of x86-64 only, and words of its devices in `--qemu-arg`.
OF_PCS = ("--vmm", "--accel=kvm")
# Beginnings of the names of tests without an image for ARCH, and the reason.
WITHOUT_ARCH = {
    **dict.fromkeys(("arm_disks/", "arm_tools/"), "these tests run without --arch"),
    **dict.fromkeys(
        ("block_devices/slices-on-legacy-devices", "consoles/a-legacy-virtio-console"),
        "these machines have no I/O ports",
    ),
    "boot_disks/": "these disks and their firmware are for x86-64",
    **dict.fromkeys(
        ("failures/again-from-disks", "failures/halts-or-ends", "store/a-disk"),
        "these disks and their firmware are for x86-64",
    ),
    "firmware_display/": "these disks and their firmware are for x86-64",
    "launchers/": "domains of libvirt are for x86-64",
    "loaders/": "the loaders are for x86-64",
    "machines/": "these machines are PCs",
    "monitors/": "the memory of these monitors is for x86-64",
    "oci/": "container images are for x86-64",
    "processors/without-tables": "these machines are PCs",
    "programs/an-image-as-a-process": "Linux of another processor refuses the file itself",
    "programs/calls-legacy": "arm64 has the newer system calls only",
    "programs/calls-signals-on-": "these processors are x86-64",
    "programs/cxx": "set-up installs no C++ compiler for arm64",
    "programs/fault-divide": "divisions by zero trap on x86-64 only",
    "programs/fault-x87": "arm64 has no x87 unit",
    "programs/image-is-a-pvh-elf": "PVH is for x86-64",
    "programs/page-fault-stack": "stacks of interrupts are for x86-64",
    "vmms/": "--vmm is for x86-64",
    **dict.fromkeys(
        ("benchmarks/", "book/", "builds/", "checks/", "flaky_runs/", "manifests/", "pages/")
        + ("plots/", "system_calls/", "tools/"),
        "it is about commands and processes of this machine",
    ),
}
DEVICES_OF_PCS = ("isa-", "pc-", "ich", "piix", "pvpanic", "microvm", "q35")


class Loopback:
    """In a TAP's place where the program has the sockets of the test's namespace."""

    name = None
    host = guest = "127.0.0.1"

    def wait_free(self):
        """There is no device."""

    def wait_up(self):
        """There is no device."""


class Context:
    """The resources of one test, given back at its end in reverse order."""

    def __init__(self, number, directory, deadline, long):
        self.directory, self.deadline, self.long = directory, deadline, long
        self._next_tap = number * TAPS_OF_A_TEST
        self._closing = []
        self._children = []
        # Nothing comes for half a minute where five segments in a row were lost (RFC 6298, 5.5).
        os.environ["LOAD_STALL_MS"] = str(int(self.remaining() * 600))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        while self._closing:
            self._closing.pop()()

    def remaining(self):
        """Seconds of the time limit that are left, at least a little."""
        return max(0.1, self.deadline - time.monotonic())

    def bound(self, what, value, most):
        """Checks a figure that the machine decides as well (a delay, a rate, a share of the
        processor, resident memory), in long runs only, whose results a person reads. The report of
        a test that fails contains the printed line."""
        print(f"{what}: {value}, at most {most}")
        assert not self.long or value <= most, f"{what}: {value}, more than {most}"

    def path(self, name):
        return os.path.join(self.directory, name)

    def memory_path(self, name):
        """A path like `path`, on a file system in memory where there is one. For disks that must
        answer within a deadline: a flush to the disk of a busy machine takes seconds."""
        folder = in_memory(self.directory)
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        # In a folder that users share another may be first.
        found = os.lstat(folder)
        assert stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid(), f"{folder}: another's"
        return os.path.join(folder, name)

    def tap(self, form=None):
        """A new TAP with a subnet of its own, or what is in its place in this form."""
        if sandbox.MISSING:
            raise Skip(f"it needs a TAP: {sandbox.MISSING}")
        if form == SOCKETS:
            return Loopback()
        tap = Tap(self._next_tap)
        self._next_tap += 1
        tap.__enter__()
        self._closing.append(tap.__exit__)
        return tap

    def enter(self, manager):
        """`manager`'s value for the rest of the test."""
        value = manager.__enter__()
        self._closing.append(lambda: manager.__exit__(None, None, None))
        return value

    def child(self, command, **options):
        """Starts `command`; it is stopped at the end of the test at the latest."""
        child = Child(command, deadline=self.deadline, **options)
        self._closing.append(child.stop)
        self._children.append(child)
        return child

    def crash(self):
        """Why what this test started ended, or what it wrote, makes a failure final; None if
        nothing does."""
        for child in self._children:
            if child.process.poll() in CRASHES:
                return f"status {child.process.returncode} of {child.command[0]}"
            if reason := flaky.final(child.text):
                return reason
        return None

    def run(self, *command, check=True, **options):
        """Runs `command` to its end within the test's time."""
        words = [str(word) for word in command]
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=self.remaining(), check=False, **options
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"{' '.join(words)}: status {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def soil(self, program, form, *arguments, options=(), tap=None, dhcp=False, **child_options):
        """Starts `soil run` with the program's executable of this form, and `tap` as its
        network."""
        if tap:
            tap.wait_free()
        words = command(program, form, arguments, options, tap, dhcp)
        return self.child(words, **child_options)

    def load(self, *words, check=True):
        """Runs the load client (bench/load/load.c)."""
        return self.run(LOAD, *words, check=check)


def in_memory(directory):
    """The folder in memory that belongs to a test's directory: itself where there is no other."""
    if not os.path.isdir(MEMORY):
        return directory
    return os.path.join(MEMORY, os.path.basename(directory))


def executable(program, form):
    """The path of a built program: `tests/programs/NAME.exe` unless a path is given."""
    context = "default" if form in (*ONLY_HERE, REFERENCE) else "soil"
    inside = program if "/" in program else f"tests/programs/{program}.exe"
    if ARCH and form != REFERENCE:
        if form in ONLY_HERE:
            raise Skip(f"of the process, which isn't built for {ARCH}")
        context = f"soil-{ARCH}"
        USED.add(inside)
    path = os.path.join(ROOT, "_build", context, inside)
    for library in OPTIONAL.get(inside, ()):
        query = ["ocamlfind", "query", library]
        if subprocess.run(query, capture_output=True, check=False).returncode != 0:
            raise Skip(f"the OCaml library {library} isn't installed; docs/libraries.md names it")
    assert os.path.exists(path), f"{path} is not built; run: make build"
    if CPUS and context != "default" and inside.startswith("tests/programs/"):
        with open(path, "rb") as file:
            build = f"tests/run.py --build --cpus {CPUS}"
            assert OF_SEVERAL in file.read(), f"{path} is for one processor; run: {build}"
    return path


def command(program, form, arguments=(), options=(), tap=None, dhcp=False):
    """The words of `soil run` for this program and form."""
    words = [SOIL, "run", executable(program, form)]
    if ARCH and form != REFERENCE:
        only_on_pcs(options)
        form = "virt"
    if form not in (*ONLY_HERE, REFERENCE):
        words += ["--machine", form]
        if kvm.KIND and "--accel" not in options:
            words += ["--accel", "kvm"]
            USED.add(program)
        # `soil run` probes each new QEMU for KVM, up to 30 s where that hangs.
        elif "--qemu" in options:
            words += ["--accel", "tcg"]
    if form == SOCKETS:
        words += ["--net", "host"]
    elif tap:
        words += ["--net", f"tap={tap.name}"]
        if not dhcp:
            words += ["--ip", tap.guest_cidr, "--gateway", tap.host]
    elif "--net" not in options:
        words += ["--net", "none"]
    words += options
    if CPUS and "--machine" in words and "--cpus" not in options:
        # OCaml's events of 128 domains take 64 MiB (docs/sight.md).
        words += ["--cpus", CPUS, *(() if "--mem" in options else ("--mem", "192M"))]
    if arguments:
        words += ["--", *arguments]
    return words


def launcher(context, *arguments, options=(), **others):
    """The words that start a machine by what --dry-run prints, with the arguments of `command`. The
    program is a copy: beside it may come its flat form."""
    words = command(*arguments, options=[*options, "--dry-run"], **others)
    words[2] = shutil.copy(words[2], context.directory)
    shown = context.run(*words).stdout.replace("\\\n", " ").splitlines()
    shown[-1] = f"exec {shown[-1]}"
    path = f"PATH={os.path.dirname(SOIL)}:{os.environ['PATH']}"
    return ["env", path, "sh", "-ec", "\n".join(shown)]


def only_on_pcs(options):
    """Skips a test with options that images for ARCH don't have."""
    words = [str(word) for word in options]
    for option in OF_PCS:
        if option in words or " ".join(words).find(option.replace("=", " ")) >= 0:
            raise Skip(f"{option} is for images of x86-64")
    devices = [word.removeprefix("--qemu-arg=") for word in words]
    for device in DEVICES_OF_PCS:
        if any(word.startswith(device) for word in devices):
            raise Skip(f"{device.strip('-')} is a device of PCs")


def kernel(context, program, form):
    """The image as a file for QEMU's -kernel."""
    path = executable(program, form)
    if PROCESSOR == "x86_64":
        return path
    flat = context.path("flat-" + os.path.basename(path))
    context.run(SOIL, "strip", "--flat", path, flat)
    return flat


def clean(text):
    """Console output without the carriage returns of a serial port, and under KVM without QEMU's
    warnings."""
    text = text.replace("\r", "")
    return WARNINGS.sub("", text) if kvm.KIND else text


def outcome(child, context):
    """The exit status and the whole clean output of a child that ends by itself."""
    status = child.finish(context.remaining())
    return status, clean(child.text)
