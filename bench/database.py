"""pgbench's transactions by PG'OCaml through soil-work.resource_pool, and pgbench as the peer (libpq, C):
the process form on Linux's own sockets, ten connections to one PostgreSQL on loopback."""

import glob
import os
import re
import shutil
import subprocess

import peer
from boot import built
from harness.console import Child
from measure import Figure

PROGRAM = "_build/default/bench/programs/database/transactions.exe"
HOST, PORT = "127.0.0.1", "5432"
CONNECTIONS = 10
# Branches: as many as connections, so that transactions seldom wait for each other's rows.
SCALE = 10
MODES = {"select": ["-S"], "tpcb": []}
ORDER = [f"host_pg_{mode}_per_s" for mode in MODES]
# Another user's number in its own namespace: the server refuses to run as root.
USER = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]


class Server:
    """A PostgreSQL server without syncs, with pgbench's tables."""

    def __init__(self):
        programs = glob.glob("/usr/lib/postgresql/*/bin")
        if not programs:
            raise peer.Missing("PostgreSQL is not installed; run: make setup")
        self.programs = max(programs, key=lambda path: int(path.split("/")[-2]))
        self.data = peer.work("postgresql")

    def __enter__(self):
        # The namespace of this run begins without loopback.
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        shutil.rmtree(self.data, ignore_errors=True)
        words = ["-D", self.data, "-U", "soil", "-A", "trust", "--no-sync", "--locale=C"]
        subprocess.run([*USER, f"{self.programs}/initdb", *words], check=True, capture_output=True)
        words = ["-D", self.data, "-F", "-h", HOST, "-p", PORT, "-c", "unix_socket_directories="]
        self.child = Child([*USER, f"{self.programs}/postgres", *words])
        self.child.wait_line("database system is ready to accept connections")
        self.pgbench("-i", "-s", str(SCALE))
        return self

    def __exit__(self, *_):
        self.child.stop()

    def pgbench(self, *words):
        words = [f"{self.programs}/pgbench", "-h", HOST, "-p", PORT, "-U", "soil", *words]
        return rate([*words, "postgres"])


def rate(words):
    """Transactions per second, if the command prints them."""
    environment = {**os.environ, "SOIL_NET": "host"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"{words[0]}: {done.stdout}{done.stderr}")
    found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    return float(found[1]) if found else None


def transactions(options):
    seconds = str(max(1, round(options.seconds)))
    number = str(CONNECTIONS)
    figures = []
    with Server() as server:
        for mode, words in MODES.items():
            figure = Figure(f"host_pg_{mode}_per_s", "transactions/s", "higher")
            for _ in range(options.pairs):
                ours = [built(PROGRAM), HOST, PORT, number, number, seconds, str(SCALE), mode]
                theirs = ["-n", "-M", "prepared", "-c", number, "-j", "1", "-T", seconds, *words]
                figure.add(rate(ours), server.pgbench(*theirs))
            figures.append(figure)
    return figures


GROUPS = {"host_database": transactions}
