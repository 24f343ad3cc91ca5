"""Launchers of machines other than `soil run`, from what `--dry-run` prints for them."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time

from harness.console import PATIENCE
from harness.context import SOIL, Skip, clean, executable
from harness.runner import test

FILES = "tests/programs/unmodified/files.exe"


class Libvirt:
    """libvirt's session of an unprivileged user, which `virsh` starts and which ends when idle."""

    def __init__(self, context):
        self.context = context
        self.words = []
        if os.geteuid() == 0:
            # Root has no session: libvirt gives it the system's daemon.
            user = pwd.getpwnam("nobody")
            self.words = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]  # fmt: skip
            if subprocess.run([*self.words, "true"], capture_output=True).returncode != 0:
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

    def virsh(self, *words, check=True):
        command = [*self.words, "virsh", "-q", "-c", "qemu:///session", *words]
        return self.context.run(*command, check=check, env=self.environment, cwd=self.directory)

    def define(self, program, *options):
        """Defines the domain that `soil run` prints for a copy of the program."""
        shutil.copy(executable(program, "q35"), self.path("files.elf"))
        words = [SOIL, "run", self.path("files.elf"), "--accel", "tcg", "--net", "none"]
        text = self.context.run(*words, "--dry-run=libvirt", *options).stdout
        with open(self.path("domain.xml"), "w", encoding="utf-8") as file:
            file.write(text)
        self.hand_over()
        self.virsh("define", self.path("domain.xml"))

    def start(self, name):
        """Starts the domain; returns its serial line."""
        self.virsh("start", name, "--paused")
        terminal = self.virsh("ttyconsole", name).stdout.strip()
        # As this test's controlling terminal it would end the test with SIGHUP.
        line = open(os.open(terminal, os.O_RDWR | os.O_NOCTTY), "rb", buffering=0)
        self.virsh("resume", name)
        return line

    def wait_off(self, name):
        until = time.monotonic() + self.context.remaining()
        while (state := self.virsh("domstate", name, "--reason").stdout.strip()) != "shut off (shutdown)":
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


@test(limit=120)
def libvirt_runs_a_domain(context):
    """libvirt defines and starts the domain of `--dry-run=libvirt`, the program finds its arguments
    and its disk, and `virsh shutdown` asks it to stop; at the next start its file is there."""
    if not shutil.which("virsh"):
        raise Skip("virsh isn't installed; install it: apt-get install libvirt-clients")
    with Libvirt(context) as libvirt:
        disk = libvirt.path("data.img")
        context.run(SOIL, "disk", "make", disk, "--size", "16M", "--fs", "ext4")
        libvirt.define(FILES, f"--disk=data={disk}", "--", "leave", "/data/left")
        with contextlib.closing(libvirt.start("files")) as line:
            read_until(line, "written")
            assert libvirt.virsh("domstate", "files").stdout.strip() == "running"
            libvirt.virsh("shutdown", "files")
            libvirt.wait_off("files")
        assert context.run("debugfs", "-R", "cat left", disk).stdout == "/data/left"
        context.run("e2fsck", "-fn", disk)
