"""Launchers of machines other than `soil run`, from what `--dry-run` prints for them."""

import contextlib
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time

from harness.console import PATIENCE
from harness.context import SOIL, Skip, clean, executable
from harness.runner import test

FILES = "tests/programs/unmodified/files.exe"
FREEZES = "tests/programs/storage/freezes.exe"
ABORTS = "tests/programs/aborts.exe"


class Libvirt:
    """libvirt's session of an unprivileged user, which `virsh` starts and which ends when idle."""

    uri = "qemu:///session"

    def __init__(self, context):
        self.context = context
        self.words = []
        if os.geteuid() == 0:
            # Root has no session: libvirt gives it the system's daemon.
            user = pwd.getpwnam("nobody")
            identity = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
            self.words = ["setpriv", *identity]
            trial = subprocess.run([*self.words, "true"], capture_output=True, check=False)
            if trial.returncode != 0:
                raise Skip("this user namespace has one user only; run the tests as root")
        self.directory = tempfile.mkdtemp()

    def __enter__(self):
        self.hand_over()
        environment = {"HOME": self.directory, "XDG_RUNTIME_DIR": self.directory}
        self.environment = dict(os.environ, **environment)
        return self

    def __exit__(self, *_):
        # The daemon may still write there.
        shutil.rmtree(self.directory, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def hand_over(self):
        """Gives the folder and its files to the session's user."""
        if self.words:
            user = pwd.getpwnam("nobody")
            for path in (self.directory, *map(self.path, os.listdir(self.directory))):
                os.chown(path, user.pw_uid, user.pw_gid)

    def virsh(self, *words, check=True, quiet=True):
        options = ["-q"] if quiet else []
        command = [*self.words, "virsh", *options, "-c", self.uri, *words]
        return self.context.run(*command, check=check, env=self.environment, cwd=self.directory)

    def define(self, program, *options):
        """Defines the domain that `soil run` prints for a copy of the program."""
        shutil.copy(executable(program, "q35"), self.path("files.elf"))
        words = [SOIL, "run", self.path("files.elf"), "--accel", "tcg", "--dry-run=libvirt"]
        text = self.context.run(*words, *options).stdout
        with open(self.path("domain.xml"), "w", encoding="utf-8") as file:
            file.write(text)
        self.hand_over()
        # Validated against libvirt's schema, too.
        self.virsh("define", "--validate", self.path("domain.xml"))

    def start(self, name):
        """Starts the domain; returns its serial line."""
        self.virsh("start", name, "--paused")
        terminal = self.virsh("ttyconsole", name).stdout.strip()
        # As this test's controlling terminal it would end the test with SIGHUP.
        line = open(os.open(terminal, os.O_RDWR | os.O_NOCTTY), "rb", buffering=0)
        self.virsh("resume", name)
        return line

    def wait_off(self, name, reason="shutdown"):
        until = time.monotonic() + self.context.remaining()
        while True:
            state = self.virsh("domstate", name, "--reason").stdout.strip()
            if state == f"shut off ({reason})":
                return
            assert time.monotonic() < until, f"{name}: {state}"
            time.sleep(0.1)


def read_until(line, text):
    """What a serial line gives until this text."""
    seen = b""
    until = time.monotonic() + PATIENCE
    while text.encode() not in seen:
        assert time.monotonic() < until, seen
        try:
            seen += line.read(1024)
        except OSError as problem:
            raise AssertionError(f"the line ended after {seen}") from problem
    return clean(seen.decode())


def available():
    if not shutil.which("virsh"):
        raise Skip("virsh isn't installed; install it: apt-get install libvirt-clients")


@test(limit=120)
def libvirt_accepts_each_option(context):
    """libvirt defines the domains of networks, disks, displays and processor models; a process and
    an option that no domain has are refused by name."""
    available()
    tap = context.tap()
    with Libvirt(context) as libvirt:
        first, second = libvirt.path("it's.img"), libvirt.path("a&b.img")
        for disk in (first, second):
            context.run(SOIL, "disk", "make", disk, "--size", "16M", "--fs", "fat")
        for options in (
            ["--net=user", "--mac=52:54:00:00:00:01", "--ip=10.0.0.2/24,fd00::2/64"],
            [f"--net=tap={tap.name}", "--net=user", "--cpu=max", "--mem=128M"],
            ["--net=none", f"--disk=a={first}", f"--disk=b={second},sector=4096,ro"],
            ["--net=none", "--display=vnc=:7", "--display-size=640x480,320x200"],
            ["--net=none", "--display=window", "--cpu=qemu64,+rdrand,-sse4a", "--", "a b", "<&'>"],
        ):
            libvirt.define(FILES, *options)
            libvirt.virsh("undefine", "files")
    for form, option, message in (
        ("process", "--mem=64M", "a process is no machine"),
        ("q35", "--pcap=a", "--pcap: a libvirt domain has no such setting"),
    ):
        program = executable(FILES, form)
        words = [SOIL, "run", program, "--dry-run=libvirt", "--net=none", option]
        done = context.run(*words, check=False)
        assert done.returncode == 125 and message in done.stderr, f"{form}: {done}"
        assert done.stdout == "", done.stdout


@test(limit=120)
def libvirt_runs_a_domain(context):
    """libvirt defines and starts the domain of `--dry-run=libvirt`, the program finds its arguments
    and its disk, and `virsh shutdown` asks it to stop; at the next start its file is there."""
    available()
    with Libvirt(context) as libvirt:
        disk = libvirt.path("data.img")
        context.run(SOIL, "disk", "make", disk, "--size", "16M", "--fs", "ext4")
        libvirt.define(FILES, "--net=none", f"--disk=data={disk}", "--", "leave", "/data/left")
        with contextlib.closing(libvirt.start("files")) as line:
            read_until(line, "written")
            assert libvirt.virsh("domstate", "files").stdout.strip() == "running"
            libvirt.virsh("shutdown", "files")
            libvirt.wait_off("files")
        assert context.run("debugfs", "-R", "cat left", disk).stdout == "/data/left"
        context.run("e2fsck", "-fn", disk)


@test(limit=180)
def libvirt_uses_the_agent(context):
    """`virsh` asks the program's guest agent for its addresses, system and time, freezes and thaws
    its volumes, and stops it by the agent."""
    available()
    with Libvirt(context) as libvirt:
        disks = []
        for name, kind in (("data", "ext4"), ("other", "fat")):
            disk = libvirt.path(f"{name}.img")
            context.run(SOIL, "disk", "make", disk, "--size", "24M", "--fs", kind)
            disks.append(f"--disk={name}={disk}")
        mounts = ["--mount=/data=ext4:data", "--mount=/other=fat:other"]
        libvirt.define(FREEZES, "--net=user", *disks, *mounts, "--", "net")
        with contextlib.closing(libvirt.start("files")) as line:
            read_until(line, "working")
            shown = libvirt.virsh("domifaddr", "files", "--source", "agent").stdout
            assert re.search(r"ipv4 +10\.0\.2\.15/24", shown), shown
            shown = libvirt.virsh("guestinfo", "files", "--os").stdout
            assert re.search(r"os\.id *: soil", shown), shown
            libvirt.virsh("domtime", "files", "--time", "4000000000")
            shown = libvirt.virsh("domtime", "files").stdout
            assert re.search(r"Time: 40000\d{5}", shown), shown
            shown = libvirt.virsh("domfsfreeze", "files", quiet=False).stdout
            assert "Froze 2 filesystem(s)" in shown, shown
            context.run("e2fsck", "-fn", libvirt.path("data.img"))
            context.run("fsck.fat", "-n", libvirt.path("other.img"))
            shown = libvirt.virsh("domfsthaw", "files", quiet=False).stdout
            assert "Thawed 2 filesystem(s)" in shown, shown
            libvirt.virsh("shutdown", "files", "--mode", "agent")
            libvirt.wait_off("files")
        context.run("e2fsck", "-fn", libvirt.path("data.img"))


@test(limit=120)
def libvirt_sees_a_crash(context):
    """A program that aborts leaves its domain crashed, by pvpanic, on q35 and pc; its status is the
    last line of the console."""
    available()
    for machine in ("q35", "pc"):
        with Libvirt(context) as libvirt:
            libvirt.define(ABORTS, "--net=none", "--machine", machine)
            with contextlib.closing(libvirt.start("files")) as line:
                text = read_until(line, "soil: status 134\n")
                assert "before" in text and "SIGABRT" in text, text
                libvirt.wait_off("files", "crashed")
