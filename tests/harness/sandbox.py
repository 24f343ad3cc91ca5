"""A private network and process namespace for everything a test starts.

The runner executes itself again under `unshare`: TAPs, addresses and listeners live in its own
network namespace, and every process in a PID namespace that ends with the runner, so nothing
remains however a run ends.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time

MARK = "SOIL_TEST_SANDBOX"
# Why there are no namespaces here, in a run that goes on without; else empty.
MISSING = ""
# Beginnings of the names of tests that need neither a network nor an end of all that they start.
ALONE = ("checks/", "libraries/", "processors/", "programs/", "standard_streams/", "tasks/")


def enter(is_complete=False):
    """Returns if the caller runs inside the namespaces; otherwise executes it again there. Where
    none can be made, as in a container with an engine's default privileges, a complete run returns,
    with MISSING set: it skips the tests that need them."""
    global MISSING
    if os.environ.get(MARK):
        return
    problems = missing()
    if problems and is_complete:
        MISSING = problems[0]
        return
    if problems:
        for line in problems:
            print(f"error: {line}", file=sys.stderr)
        sys.exit(2)
    command = namespace_command()
    os.environ[MARK] = "1"
    os.execvp(command[0], command + [sys.executable, *sys.argv])


CLONE_NEWNET = 0x40000000

# Tests rely on these settings, which a new network namespace inherits from the host or limits: no
# source address is refused, forwarding is off until a test enables it, IPv6 is on, and each ICMP
# error is sent.
SETTINGS = {
    "ipv4/conf/all/rp_filter": 0,
    "ipv4/conf/default/rp_filter": 0,
    "ipv4/ip_forward": 0,
    "ipv4/icmp_ratemask": 0,
    "ipv6/conf/all/disable_ipv6": 0,
    "ipv6/conf/default/disable_ipv6": 0,
    "ipv6/icmp/ratelimit": 0,
}


def own_network():
    """Moves this process, one test, into its own network namespace, which separates its ports,
    routes, settings and multicast from those of other tests."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "no network namespace for this test")
    for path, value in SETTINGS.items():
        # Some kernels lack some of them.
        with (
            contextlib.suppress(FileNotFoundError),
            open("/proc/sys/net/" + path, "w", encoding="ascii") as file,
        ):
            file.write(str(value))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def network(pid="self"):
    """The number of the network namespace of a process; OSError once that has ended."""
    return os.stat(f"/proc/{pid}/ns/net").st_ino


def end_network(number):
    """Kills the other processes in this network namespace, whatever their parents and sessions: a
    QEMU whose launcher was killed, a daemon."""
    # One may start another meanwhile.
    for _ in range(100):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if int(pid) != os.getpid() and network(pid) == number:
                    os.kill(int(pid), signal.SIGKILL)
                    found.append(pid)
        if not found:
            return
        time.sleep(0.01)


def namespace_command():
    """The `unshare` words this user may use: as root directly, else with a user namespace."""
    flags = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        flags.insert(0, "--map-root-user")
    return ["unshare", *flags, "--"]


def missing():
    """This machine's missing requirements for network tests, each with its remedy."""
    problems = []
    for tool, package in (("unshare", "util-linux"), ("ip", "iproute2")):
        if not shutil.which(tool):
            problems.append(f"`{tool}` is not installed; run: apt-get install {package}")
    if not os.path.exists("/dev/net/tun"):
        problems.append(
            "/dev/net/tun does not exist, so no TAP can be made; run as root: modprobe tun"
            " (in a container: start it with --device /dev/net/tun)"
        )
    elif not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        problems.append("/dev/net/tun is not writable by this user; run the tests as root")
    if not problems:
        trial = subprocess.run([*namespace_command(), "true"], capture_output=True, text=True)
        if trial.returncode != 0:
            problems.append(
                "namespaces cannot be made here (" + trial.stderr.strip() + "); run the tests as"
                " root, or allow user namespaces: sysctl -w kernel.unprivileged_userns_clone=1"
            )
    return problems
