"""A private network and process namespace for everything a test starts.

The runner executes itself again under `unshare`: TAPs, addresses and listeners live in a network
namespace that nobody else sees, and every process in a PID namespace that ends with the runner, so
nothing is left behind however a run ends.
"""

import os
import shutil
import subprocess
import sys

MARK = "SOIL_TEST_SANDBOX"


def enter():
    """Returns when the caller runs inside the namespaces; otherwise executes it again there."""
    if os.environ.get(MARK):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    problems = missing()
    if problems:
        for line in problems:
            print(f"error: {line}", file=sys.stderr)
        sys.exit(2)
    command = namespace_command()
    os.environ[MARK] = "1"
    os.execvp(command[0], command + [sys.executable, *sys.argv])


def namespace_command():
    """The `unshare` words this user may use: root directly, anybody else with a user namespace."""
    flags = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        flags.insert(0, "--map-root-user")
    return ["unshare", *flags, "--"]


def missing():
    """What this machine lacks for network tests, each with its remedy."""
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
