"""A bad link to a Linux peer in a network namespace of its own (net/examples/relay.rs)."""

import os
import socket
import subprocess
import threading

from harness.context import ROOT
from harness.tap import SOLICITATIONS, ip, wait_for_neighbours

RELAY = os.path.join(ROOT, "target", "debug", "examples", "relay")


def build():
    """Builds the relay before the sandbox cuts off the network; `cargo test --workspace` builds the
    same binary."""
    cargo = ["cargo", "build", "-q", "--locked", "--workspace", "--profile", "test"]
    cargo += ["--example", "relay"]
    return subprocess.run(cargo, cwd=ROOT, check=False).returncode == 0


def setting(path, value):
    """Sets a sysctl of this network namespace."""
    with open("/proc/sys/net/" + path, "w", encoding="ascii") as file:
        file.write(str(value))


class BadLink:
    """`near` is this namespace's address on the link, `far` the peer's. `far` belongs to the
    network of `tap`, so the guest needs no gateway: this namespace answers ARP for it (proxy ARP)
    and forwards.

    `words` are the relay's parameters, such as `loss=10000` (in millionths) and `delay=25` (ms),
    for each direction.
    """

    def __init__(self, context, tap, *words):
        number = tap.name.removeprefix("soil")
        names = [f"r{number}a", f"r{number}b"]
        middle = tap.prefix.split(".")[1:]
        self.near, self.far = f"172.{16 + int(middle[0]) % 16}.{middle[1]}.1", tap.prefix + ".3"
        holder = context.child(
            ["unshare", "--net", "--", "sh", "-c", "echo there; exec sleep 86400"]
        )
        holder.wait_line("there")
        self.inside = ["nsenter", "-t", str(holder.pid), "-n", "--"]
        self.relay = context.child([RELAY, *names, *words], stdin=subprocess.PIPE)
        self.relay.wait_line("relaying")
        ip("link", "set", names[1], "netns", str(holder.pid))
        ip("addr", "add", self.near + "/32", "dev", names[0])
        ip("link", "set", names[0], "up")
        ip("route", "add", self.far + "/32", "dev", names[0], "src", self.near)
        self.enter("ip", "addr", "add", self.far + "/32", "dev", names[1])
        self.enter("ip", "link", "set", names[1], "up")
        self.enter("ip", "link", "set", "lo", "up")
        self.enter("ip", "route", "add", "default", "via", self.near, "dev", names[1], "onlink")
        setting(f"ipv4/conf/{tap.name}/proxy_arp", 1)
        setting(f"ipv4/neigh/{tap.name}/proxy_delay", 0)
        setting("ipv4/ip_forward", 1)
        # The relay, too, may go without a processor for long.
        wait_for_neighbours(names[0])
        for kind in ("mcast_solicit", "ucast_solicit"):
            path = f"/proc/sys/net/ipv4/neigh/{names[1]}/{kind}"
            self.enter("sh", "-c", f"echo {SOLICITATIONS} >{path}")
        # Cached metrics of one connection must not help the next one.
        setting("ipv4/tcp_no_metrics_save", 1)
        self.enter("sh", "-c", "echo 1 >/proc/sys/net/ipv4/tcp_no_metrics_save")

    def enter(self, *words):
        """Runs a command at the peer."""
        subprocess.run([*self.inside, *words], check=True, capture_output=True, text=True)

    def statistics(self):
        """Ends the relay; returns its statistics."""
        self.relay.process.stdin.close()
        self.relay.finish()
        return self.relay.lines[-1][1]


def source(address):
    """A Linux server (CUBIC) on `address` that sends endlessly; returns its port."""
    server = socket.create_server((address, 0))
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")

    def serve(connection):
        with connection:
            try:
                while True:
                    connection.sendall(bytes(65536))
            except OSError:
                pass

    def accept():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return server.getsockname()[1]
