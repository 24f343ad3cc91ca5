"""Programs without a line of Soil: the answers of an image are those of Linux."""

import fcntl
import os
import platform
import re
import signal
import socket
import struct
import termios
import threading
import time

from cases.network import dnsmasq, in_every_form
from cases.names import A, AAAA, CNAME, MX, PTR, NameServer, read_name, wire
from cases.tasks import fat_disk
from harness.console import PATIENCE
from harness.context import MACHINES, PROCESSOR, REFERENCE, outcome
from harness.runner import test

FILES = "tests/programs/unmodified/files.exe"
THREADS = "tests/programs/unmodified/file_threads.exe"
EVENTS = "tests/programs/unmodified/events/events.exe"
SOCKETS = "tests/programs/unmodified/sockets.exe"
RESOLVER = "tests/programs/unmodified/resolver.exe"
PEERS = "tests/programs/unmodified/peers.exe"
PATHS = "tests/programs/unmodified/paths/main.exe"
GROUPS = "tests/programs/unmodified/groups.exe"
WAITS = "tests/programs/threads/waits_in_unix.exe"
TABLE = "tests/programs/unmodified/table/table.exe"
PAGE = "docs/unix.md"
VOLUMES = ("memory", "ext4", "fat")


def disks(context, form):
    """An ext4 and a FAT disk, and the options that give them to a machine."""
    fat, ext4 = fat_disk(context, f"{form}.fat"), context.path(f"{form}.ext4")
    with open(ext4, "wb") as file:
        file.truncate(64 << 20)
    context.run("mkfs.ext4", "-q", ext4)
    return fat, ext4, ["--disk", f"fat={fat}", "--disk", f"ext4={ext4}"]


def check_disks(context, fat, ext4):
    context.run("fsck.fat", "-n", fat)
    context.run("e2fsck", "-fn", ext4)


@in_every_form(limit=120, forms=MACHINES)
def unmodified_files(context, form):
    """Channels, Sys, Filename and the files of Unix in memory, on ext4 and on FAT: each of 400
    calls answers as on Linux, and the disks are clean and synced."""
    fat, ext4, options = disks(context, form)
    folders = [os.path.join(context.path("process"), name) for name in VOLUMES]
    os.mkdir(context.path("process"))
    status, linux = outcome(context.soil(FILES, REFERENCE, *folders), context)
    assert status == 0, linux
    roots = [f"/{name}" for name in VOLUMES]
    status, image = outcome(context.soil(FILES, form, *roots, options=options), context)
    pairs = zip(image.splitlines(), linux.splitlines(), strict=False)
    differ = [f"{one!r}, on Linux {two!r}" for one, two in pairs if one != two]
    assert image == linux, "\n".join(differ) or image
    assert status == 0, status
    check_disks(context, fat, ext4)
    for name in ("lines.txt", "large", "value", "file", "hole", "made", "shared"):
        with open(os.path.join(folders[1], name), "rb") as file:
            wanted = file.read()
        copy = context.path("copy")
        context.run("debugfs", "-R", f"dump {name} {copy}", ext4)
        with open(copy, "rb") as file:
            assert file.read() == wanted, name


@in_every_form(forms=MACHINES)
def unmodified_files_and_a_signal(context, form):
    """A program's writes are on its disks after a stop request: `soil run` presses the power button
    for either signal."""
    for number in (signal.SIGTERM, signal.SIGINT):
        fat, ext4, options = disks(context, form)
        paths = ["/fat/left", "/ext4/left"]
        child = context.soil(FILES, form, "leave", *paths, options=options)
        child.wait_line("written")
        child.signal(number)
        assert child.finish(context.remaining()) == 143, child.text
        check_disks(context, fat, ext4)
        on_ext4 = context.run("debugfs", "-R", "cat left", ext4).stdout
        on_fat = context.run("mtype", "-i", fat, "::left").stdout
        assert (on_fat, on_ext4) == tuple(paths)


VOLUME_LINES = [
    "link on FAT: Operation not permitted",
    "symlink on FAT: Operation not permitted",
    "unlink on FAT of what is open: Resource busy",
    "chmod: Operation not permitted",
    "chown: Operation not permitted",
    "rename to another volume: Cross-device link",
    "link to another volume: Cross-device link",
    "volumes have numbers: true",
    "the root: dev etc ext4 fat proc tmp",
    "devices: null random stderr stdin stdout tty urandom zero",
    "the current directory: /",
    "fork: Function not implemented",
]


@in_every_form(limit=120, forms=MACHINES[:1])
def unmodified_volumes(context, form):
    """Operations that FAT and Soil's volumes lack return Linux's error; `/` has the disks and the
    usual directories."""
    fat, ext4, options = disks(context, form)
    child = context.soil(FILES, form, "volumes", "/fat", "/ext4", options=options)
    status, output = outcome(child, context)
    lines = [line for line in output.splitlines() if line.startswith("volumes ")]
    assert lines == [f"volumes {line}" for line in VOLUME_LINES], output
    assert status == 0, status
    check_disks(context, fat, ext4)


@in_every_form(limit=120, forms=MACHINES[:1])
def unmodified_threads(context, form):
    """Four threads work with files on three volumes while a fifth computes: each reads what it
    wrote, and no file is left."""
    fat, ext4, options = disks(context, form)
    child = context.soil(THREADS, form, "/tmp", "/fat", "/ext4", options=options)
    status, output = outcome(child, context)
    assert output.splitlines() == [
        *[f"thread {number}: 60 right" for number in range(1, 5)],
        "computed: true",
        "tmp: 0 left",
        "fat: 0 left",
        "ext4: 0 left",
    ], output
    assert status == 0, status
    check_disks(context, fat, ext4)


@in_every_form(limit=120, forms=MACHINES[:1])
def unmodified_unreadable_disk(context, form):
    """A disk without a file system is an I/O error, and one line has the reason."""
    disk = context.path("empty")
    with open(disk, "wb") as file:
        file.truncate(1 << 20)
    child = context.soil(THREADS, form, "/disk", options=["--disk", f"disk={disk}"])
    _, output = outcome(child, context)
    assert "not a FAT file system" in output and "I/O error" in output, output


@in_every_form(limit=120, forms=MACHINES)
def unmodified_events(context, form):
    """Events, timers, signals, locks and `/proc`, by C's calls and by OCaml's: each call answers as
    on Linux."""
    status, linux = outcome(context.soil(EVENTS, REFERENCE), context)
    # The reference runs on this machine's processor.
    linux = linux.replace(f"Linux {platform.machine()}\n", f"Linux {PROCESSOR}\n")
    assert status == 0, linux
    status, image = outcome(context.soil(EVENTS, form), context)
    pairs = zip(image.splitlines(), linux.splitlines(), strict=False)
    differ = [f"{one!r}, on Linux {two!r}" for one, two in pairs if one != two]
    assert image == linux, "\n".join(differ) or image
    assert status == 0, status


@in_every_form(limit=120, forms=MACHINES)
def unmodified_paths(context, form):
    """Names, directories, transfers and attributes by C's calls, in memory and on ext4: each call
    answers as on Linux."""
    fat, ext4, options = disks(context, form)
    folder = context.path("process")
    os.mkdir(folder, 0o755)
    status, linux = outcome(context.soil(PATHS, REFERENCE, folder, folder), context)
    assert status == 0, linux
    status, image = outcome(context.soil(PATHS, form, "/tmp", "/ext4", options=options), context)
    pairs = zip(image.splitlines(), linux.splitlines(), strict=False)
    differ = [f"{one!r}, on Linux {two!r}" for one, two in pairs if one != two]
    assert image == linux, "\n".join(differ) or image
    assert status == 0, status
    check_disks(context, fat, ext4)


@in_every_form(limit=120, forms=MACHINES)
def unmodified_sockets(context, form):
    """TCP, UDP and Unix-domain sockets over the loopback: each of 500 calls answers as on
    Linux."""
    os.mkdir(context.path("process"))
    status, linux = outcome(context.soil(SOCKETS, REFERENCE, context.path("process")), context)
    assert status == 0, linux
    status, image = outcome(context.soil(SOCKETS, form, "/tmp"), context)
    # The log says once that the machine has no network, for a foreign address.
    image = re.sub(r".* soil: error: no network device: .*\n", "", image, count=1)
    pairs = zip(image.splitlines(), linux.splitlines(), strict=False)
    differ = [f"{one!r}, on Linux {two!r}" for one, two in pairs if one != two]
    assert image == linux, "\n".join(differ) or image
    assert status == 0, status


@in_every_form(limit=120, forms=MACHINES)
def unmodified_server(context, form):
    """A select loop echoes what Linux sends: 30 connections at once, a million bytes, datagrams."""
    tap = context.tap()
    child = context.soil(PEERS, form, "serve", "7000", tap=tap)
    child.wait_line("ready")
    tap.wait_up()
    there = (tap.guest, 7000)
    connections = [socket.create_connection(there, context.remaining()) for _ in range(30)]
    for number, connection in enumerate(connections):
        connection.sendall(f"line {number}\n".encode())
    for number, connection in enumerate(connections):
        line = connection.makefile("rb").readline()
        assert line == f"line {number}\n".encode(), line
    data = bytes(range(256)) * 4000
    first = connections[0]
    sender = threading.Thread(target=first.sendall, args=(data,), daemon=True)
    sender.start()
    received = b""
    while len(received) < len(data):
        received += first.recv(65536)
    assert received == data
    for connection in connections:
        connection.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.settimeout(context.remaining())
        datagrams.connect(there)
        for text in (b"one", b"x" * 4000, b"quit"):
            datagrams.send(text)
            assert datagrams.recv(65536) == text
    status, output = outcome(child, context)
    assert status == 0 and "connections: 30" in output, output


@in_every_form(limit=120, forms=MACHINES)
def unmodified_computes(context, form):
    """A program of one thread that computes takes connections."""
    tap = context.tap()
    child = context.soil(PEERS, form, "compute", "7000", tap=tap)
    child.wait_line("computes")
    socket.create_connection((tap.guest, 7000), context.remaining()).close()
    child.stop()


@in_every_form(limit=120, forms=MACHINES)
def unmodified_waits(context, form):
    """A program of one thread that waits for a line of input takes connections. (The threads of
    OCaml's runtime would also poll the network, every 50 ms.)"""
    tap = context.tap()
    reader, writer = os.pipe()
    child = context.soil(PEERS, form, "wait", "7000", tap=tap, stdin=reader)
    os.close(reader)
    child.wait_line("waits")
    tap.wait_up()
    socket.create_connection((tap.guest, 7000), context.remaining()).close()
    os.write(writer, b"a line\n")
    os.close(writer)
    assert outcome(child, context) == (0, "waits\na line\n")


def talk(context, form, tap, name, listener, datagrams):
    """The output of a client of a server that answers in capitals, over TCP and UDP."""

    def serve():
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines:
            connection.sendall(lines.readline().upper())
            lines.read()
            connection.sendall(b"rest")
        data, peer = datagrams.recvfrom(100)
        datagrams.sendto(data.upper(), peer)

    threading.Thread(target=serve, daemon=True).start()
    options = ["--dns", tap.host, "--env", "SOIL_DNS_SEARCH=test"]
    child = context.soil(PEERS, form, "client", name, "7001", tap=tap, options=options)
    status, output = outcome(child, context)
    assert status == 0, output
    return output.splitlines()


@in_every_form(limit=120, forms=MACHINES)
def unmodified_client(context, form):
    """The C library's resolver queries the configured name server; the client talks to Linux over
    TCP and UDP."""
    tap = context.tap()
    server = NameServer(tap, {("peer.test", A): [socket.inet_aton(tap.host)]})
    with (
        socket.create_server((tap.host, 7001)) as listener,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        datagrams.bind((tap.host, 7001))
        lines = talk(context, form, tap, "peer", listener, datagrams)
    assert lines == [
        f"addresses: {tap.host}:7001",
        "tcp: HELLO",
        'then: "rest"',
        "udp: DATAGRAM",
    ], lines
    assert ("peer.test", A, False) in server.queries, server.queries


# Response codes by labels of names (RFC 1035, 4.1.1).
REFUSALS = {"sf": 2, "nx": 3, "ni": 4, "ref": 5}


class DifficultNames(NameServer):
    """A name server that is of no help about AAAA of some names, in ways that servers have; each
    answer about `fresh.test` has another address."""

    def __init__(self, tap, zone):
        self.count = 0
        super().__init__(tap, zone)

    def answer(self, query, tcp):
        name, at = read_name(query, 12)
        kind = struct.unpack("!H", query[at : at + 2])[0]
        label = name.split(".")[0]
        if kind == AAAA and label in REFUSALS:
            flags = 0x8180 | REFUSALS[label]
            return query[:2] + struct.pack("!HHHHH", flags, 1, 0, 0, 0) + query[12 : at + 4]
        if kind == AAAA and label == "silent":
            return None
        if label == "alias":
            target, address = wire("real.test"), socket.inet_aton("192.0.2.3")
            records = b"\xc0\x0c" + struct.pack("!HHIH", CNAME, 1, 60, len(target)) + target
            if kind == A:
                records += target + struct.pack("!HHIH", A, 1, 60, 4) + address
            head = struct.pack("!HHHHH", 0x8180, 1, 2 if kind == A else 1, 0, 0)
            return query[:2] + head + query[12 : at + 4] + records
        if (label, kind) == ("fresh", A):
            self.count += 1
            self.zone["fresh.test", A] = [socket.inet_aton(f"192.0.2.{100 + self.count}")]
        return super().answer(query, tcp)


@in_every_form(limit=120, forms=MACHINES)
def unmodified_names(context, form):
    """The C library's functions for names are answered by Soil's resolver, as glibc's answers: one
    family's failure leaves the other, TCP after truncation, search domains, /etc/hosts, canonical
    names, one cache; and by the C library's own once the program has written resolv.conf."""
    tap = context.tap()
    one = socket.inet_aton("192.0.2.1")
    zone = {(f"{label}.test", A): [one] for label in ("nx", "sf", "ni", "ref", "silent")}
    reverse = "1.2.0.192.in-addr.arpa"
    zone |= {
        ("many.test", A): [bytes((10, 9, 1, number)) for number in range(100)],
        ("six.test", AAAA): [socket.inet_pton(socket.AF_INET6, "2001:db8::1")],
        ("host.lab.test", A): [socket.inet_aton("192.0.2.7")],
        (reverse, PTR): [wire("one.test")],
        ("post.test", MX): [struct.pack("!H", 10) + wire("mail.test")],
        ("fresh.test", A): [one],
    }
    server = DifficultNames(tap, zone)
    expected = {
        "unix nx.test": "192.0.2.1",
        "unix sf.test": "192.0.2.1",
        "unix ni.test": "192.0.2.1",
        "unix ref.test": "192.0.2.1",
        "unix silent.test": "192.0.2.1",
        # As many as musl's interface holds.
        "unix many.test": "48 addresses",
        "unix six.test": "2001:db8::1",
        "unix host": "192.0.2.7",
        "unix 192.0.2.8": "192.0.2.8",
        "unix none.test": "none",
        "both alias.test": "real.test 192.0.2.3",
        "both host": "host.lab.test 192.0.2.7",
        "mapped nx.test": "::ffff:192.0.2.1",
        "mapped six.test": "2001:db8::1",
        "host alias.test": "real.test 192.0.2.3",
        "host none.test": "Host not found",
        "name 192.0.2.1": "one.test",
        "name 192.0.2.9": "Name does not resolve",
        "mail post.test": "1 mail.test",
        "mail none.test": "none",
        "identifier post.test": "the query's",
        "hosts 192.0.2.50 known.test known": "written",
        "unix KNOWN": "192.0.2.50",
        "host known": "known.test 192.0.2.50",
        f"conf nameserver {tap.host}": "written",
        "both host.lab.test": "host.lab.test 192.0.2.7",
        "mail post.lab.test": "none",
    }
    commands = [word for line in expected for word in line.split(" ", 1)]
    fresh = ["unix", "fresh.test", "host", "fresh.test"]
    options = ["--dns", tap.host, "--env", "SOIL_DNS_SEARCH=lab.test"]
    child = context.soil(RESOLVER, form, *fresh, *commands, tap=tap, options=options)
    status, output = outcome(child, context)
    assert status == 0, output
    first, second, *lines = output.splitlines()
    assert lines == [f"{line}: {answer}" for line, answer in expected.items()], output
    # A query that is repeated after a late answer changes both.
    found = [line.split()[-1] for line in (first, second)]
    assert found[0] == found[1] and found[0].startswith("192.0.2.1"), output
    assert ("many.test", A, True) in server.queries, server.queries


@in_every_form(limit=120, forms=MACHINES[:1])
def unmodified_search_domains(context, form):
    """The C library's functions use the domains of DHCP's options 119 and 15."""
    for option in ("option:domain-search,none.test,lab.test", "15,lab.test"):
        tap = context.tap()
        server = dnsmasq(
            context, tap, f"--dhcp-option={option}", "--host-record=in.lab.test,192.0.2.9"
        )
        child = context.soil(RESOLVER, form, "both", "in", tap=tap, dhcp=True)
        status, output = outcome(child, context)
        server.drain(0.1)
        assert status == 0, f"{output}\n{server.text}"
        assert output.splitlines() == ["both in: in.lab.test 192.0.2.9"], f"{output}\n{server.text}"


@in_every_form(limit=60, forms=MACHINES[:1])
def unmodified_without_a_network(context, form):
    """Without a network the remedy is a line, once: a program shows errno only, and tries again."""
    commands = ["host", "a.test", "host", "b.test"]
    child = context.soil(RESOLVER, form, *commands, options=["--net", "none"])
    status, output = outcome(child, context)
    remedy = "no network device: give the machine one (soil run --net)"
    assert status == 0 and output.count(remedy) == 1, output
    assert output.count("\nhost ") == 2, output


@in_every_form(limit=120, forms=MACHINES[:1])
def unmodified_client_v6(context, form):
    """The client talks to the TAP's link-local address."""
    tap = context.tap()
    context.run("ip", "addr", "add", "fe80::1/64", "dev", tap.name, "nodad")
    there = ("fe80::1", 7001, 0, socket.if_nametoindex(tap.name))
    with (
        socket.socket(socket.AF_INET6) as listener,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as datagrams,
    ):
        # Bound, so that answers don't come from another address of the device.
        listener.bind(there)
        listener.listen()
        datagrams.bind(there)
        lines = talk(context, form, tap, "fe80::1", listener, datagrams)
    assert lines[1:] == ["tcp: HELLO", 'then: "rest"', "udp: DATAGRAM"], lines


@in_every_form(limit=120, forms=MACHINES[:1])
def unmodified_connects(context, form):
    """A non-blocking connect is refused, or stays in progress where nothing answers."""
    tap = context.tap()
    for address, told, seconds in (
        (tap.host, "refused", PATIENCE),
        (f"{tap.prefix}.77", "not yet", 1),
    ):
        child = context.soil(PEERS, form, "attempt", address, "7002", str(seconds), tap=tap)
        status, output = outcome(child, context)
        assert output.splitlines() == ["in progress", told], output
        assert status == 0, status


@in_every_form(limit=120, forms=MACHINES)
def unmodified_groups(context, form):
    """A member of a multicast group, IPv4 and IPv6, receives Linux's datagrams until it leaves; its
    answers reach the sender."""
    tap = context.tap()
    context.run("ip", "addr", "add", "fe80::1/64", "dev", tap.name, "nodad")
    number = socket.if_nametoindex(tap.name)
    v4 = (socket.AF_INET, "239.7.7.7", (tap.host, 0), socket.IPPROTO_IP, socket.IP_MULTICAST_IF)
    v6 = (
        socket.AF_INET6,
        "ff02::7:7",
        ("fe80::1", 0, 0, number),
        socket.IPPROTO_IPV6,
        socket.IPV6_MULTICAST_IF,
    )
    for family, group, own, level, option in (v4, v6):
        # The first interface after the loopback.
        child = context.soil(GROUPS, form, group, "4242", "2", tap=tap)
        child.wait_line("ready")
        tap.wait_up()
        with socket.socket(family, socket.SOCK_DGRAM) as peer:
            peer.settimeout(context.remaining())
            if family == socket.AF_INET:
                peer.setsockopt(level, option, socket.inet_aton(tap.host))
            else:
                peer.setsockopt(level, option, number)
            peer.bind(own)
            peer.sendto(b"first", (group, 4242))
            text, guest = peer.recvfrom(100)
            assert text == b"first" and guest[1] == 4242, (text, guest)
            peer.sendto(b"second", (group, 4242))
            peer.sendto(b"end", guest)
            text, _ = peer.recvfrom(100)
            assert text == b"end", text
        status, output = outcome(child, context)
        assert status == 0 and output.splitlines() == [
            "a group of one: -1",
            "on no interface: -1",
            "leave first: -1",
            "join: 0",
            "ready",
            "first",
            "leave: 0",
            "end",
        ], output


def unacknowledged(connection):
    """The number of bytes that the peer of a TCP connection of Linux hasn't acknowledged."""
    return struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0]


@in_every_form(limit=120)
def waits_in_unix(context, form):
    """While a task waits in `Unix.read`, `sleepf` or `select`, no other task runs, but threads do,
    and the network acknowledges a peer's data. While a thread waits there, tasks run."""
    tap = context.tap()
    reader, writer = os.pipe()
    child = context.soil(WAITS, form, "7000", tap=tap, stdin=reader)
    os.close(reader)
    child.wait_line("ready")
    tap.wait_up()
    with socket.create_connection((tap.guest, 7000), context.remaining()) as connection:
        child.wait_line("a thread")
        connection.sendall(bytes(50_000))
        while unacknowledged(connection) > 0:
            time.sleep(0.01)
        connection.shutdown(socket.SHUT_WR)
        os.write(writer, b"line\n")
        status, output = outcome(child, context)
    os.close(writer)
    assert output.splitlines() == [
        "ready",
        "a thread",
        "read: 5",
        "another task",
        "received: 50000",
        "sleepf",
        "another task",
        "select",
        "another task",
        "the tasks go on",
        "a thread has read: 1",
    ], output
    assert status == 0, status


HEAD = """# OCaml's Unix, Sys, Thread and Domain in images

A process behaves as on Linux. In an image each function of these modules does the same, or what
this table says. `tests/cases/unmodified.py` calls each function in both forms, compares the results
and generates the table: `SOIL_UPDATE_PAGES=1 tests/run.py unmodified-table`.

## Blocking calls

While a `Unix` call blocks (`read`, `select`, `sleepf` …), in an image and in a process:

| called in | still running |
|---|---|
| a task of `Soil.run` | other OCaml and C threads; the network, which accepts connections, acknowledges data and stores it. Other tasks wait until the call returns |
| another thread | tasks as well |

So wait with `Soil` in tasks, and run code that blocks in `Unix` in a thread, which passes results
through `Soil.Inbox`. A program without `Soil.run` has threads only, which don't block each other.

## Domains and processors

`soil run --cpus 4` gives the machine four processors; the default is one. A program's first
`Domain.spawn` starts them, and its threads run on all of them from then on; so does a thread that
asks for some of them (`sched_setaffinity`). A program with threads alone starts them with its first
thread if it is linked with `(link_flags (:standard -ccopt -Wl,-u,caml_domain_spawn))`. Other
programs use one, whatever the machine has.

| | |
|---|---|
| `Domain.recommended_domain_count` | the number of the machine's processors, or of those that the thread may run on |
| `sched_setaffinity`, `pthread_setaffinity_np` (C) | a thread runs on these processors only, and so do those that it creates |
| a call on memory that another thread unmaps or closes | fails with EFAULT, or transfers less. The buffer of a console call that waits, and the list of `readv` and `writev`, must stay: else the access is a fault |
| more domains than processors | works, also on one. Each collection waits until all domains have run, so it is slow, and a line on the console says so once. With `Runtime_events` their number is limited to that of the processors, or 8, unless `OCAMLRUNPARAM` has `d=`; a `Domain.spawn` beyond that fails, with a line on the console |
| a domain in a `Unix` call that blocks | delays no other domain, nor its collections |
| `Unix` calls of several domains | run one at a time while they compute; those that wait give way |
| C's `malloc` | as in a process; each processor keeps freed blocks for the next allocation, all of them at most an eighth of the memory |
| an uncaught exception, `exit` or a fault in a domain | as in a process: the machine ends only for the last two, and a crash is reported with all processors |
| `Soil` | its calls that wait are for the first domain; [`Soil_pool`](book/live.md) gives the others work |

## Memory

A server that limits nothing holds whatever its clients send. As far as the kernel can help, the
image survives it (`tests/cases/unmodified_memory.py`: servers on threads and Lwt from 32 MiB on, on
Cohttp from 64). With 256 MiB, servers on Lwt and Cohttp that held hundreds of uploads of 1 MiB
ended by `Out_of_memory`, which Lwt doesn't catch everywhere. What the kernel does:

| when | the kernel |
|---|---|
| the program may get less than a 16th of the memory | collects OCaml's garbage, at most once a second, when a call that blocks returns: OCaml collects as it allocates, and a program that waits or gets `Out_of_memory` doesn't. `accept`, `select`, `poll` and `epoll` pass one connection a second; the others wait in the backlog, and TCP refuses those beyond it. Windows of connections shrink. It ends with twice as much |
| requests above 64 KiB would leave less than a tenth (12 MiB at most) | refuses them: OCaml raises `Out_of_memory`, which a program can catch |
| smaller requests would | grants them from a part of this, because C libraries end the program when `malloc` fails. Another part is for minor collections, which would end it, too |
| all of it is in use | refuses connections and datagrams |

What the program must do itself:

- Limit connections, the size of heads and bodies, and the time that a client may take: the kernel
  doesn't know which connection holds the memory. [`Soil.Tcp.serve`](http.md#memory) does all that.
- Have memory to spare. Cohttp's server with 32 MiB didn't always answer again after 1500 heads that
  don't end, or 200 uploads.
- Catch `Out_of_memory` for each connection, and close it, and around `accept` and `Thread.create`.
  Lwt's servers pass it to `Lwt.async_exception_hook`, which ends the program unless it is replaced.
- Give back what it holds: buffers in global tables are no garbage.

## Names

`getaddrinfo` and what is built on it (`Unix.getaddrinfo`, `gethostbyname`) ask Soil's resolver, and
return at most 48 addresses of a name: musl, the images' C library, has room for no more
(`MAXADDRS`), on any Linux. They are the first 48 in the order of RFC 6724. `Soil.Dns` returns up to
256. The process form has the host's C library; glibc has no such limit.

## Functions

| function | in an image |
|---|---|
"""

MODES = "EPERM for a change: volumes store no modes and no owners"
TERMINAL = "ENOTTY, also for the console"
NO_PROCESS = "an image is one process: use threads or tasks"
# Differences of functions, by the beginning of their names.
NOTES = {
    "Unix.chmod": MODES,
    "Unix.fchmod": MODES,
    "Unix.chown": MODES,
    "Unix.fchown": MODES,
    "Unix.mkfifo": "use `pipe`",
    "Unix.chroot": "an image has its own tree",
    "Unix.tc": TERMINAL,
    "Unix.setsid": "an image is one process",
    "Unix.getlogin": "there is no login terminal",
    "Unix.gethostbyaddr": "names are looked up, addresses not",
    "": NO_PROCESS,
}
CONSTANTS = """argv backend_type big_endian cygwin development_version executable_name int_size
interactive io_buffer_size max_array_length max_floatarray_length max_string_length ocaml_release
ocaml_version os_type runtime_executable unix win32 word_size""".split()
# Functions that some compilers lack: the first version with them, and an image's behaviour.
LATER = {
    "Domain.count": ("5.5", "works"),
    "Thread.set_current_thread_name": ("5.4", "works"),
    "Unix.sigwait": ("5.4", "works"),
    "Unix.unsetenv": ("5.5", "works"),
}


def functions(context):
    """The functions that the modules declare."""
    library = context.run("ocamlfind", "ocamlc", "-where").stdout.strip()
    for module, path in (
        ("Unix", "unix/unix"),
        ("Sys", "sys"),
        ("Thread", "threads/thread"),
        ("Domain", "domain"),
    ):
        with open(os.path.join(library, path + ".mli")) as file:
            names = re.findall(r"^(?:val|external) ([a-z_]\w*)", file.read(), re.M)
        for name in names:
            if module != "Sys" or name not in CONSTANTS and not name.startswith("sig"):
                yield f"{module}.{name}"
    yield from ("Sys.signal", "Sys.set_signal")


def answers(text):
    # The C libraries have different messages for an error.
    text = text.replace("Not a tty", "Inappropriate ioctl for device")
    return dict(line.split("\t") for line in text.splitlines() if "\t" in line)


def state(name, image, linux):
    # Linux's answer depends on the terminal of the test run, if any.
    if image == linux and not name.startswith(("Unix.tc", "Unix.getlogin")):
        return "works"
    note = next(note for start, note in NOTES.items() if name.startswith(start))
    missing = "Function not implemented" in image or image.startswith("Failure")
    return f"unsupported: {note}" if missing else f"differs: {note}"


@test(limit=120)
def unmodified_table(context):
    """Every function of `Unix`, `Sys`, `Thread` and `Domain`, called in an image and on Linux,
    answers as the documentation's page states."""
    status, text = outcome(context.soil(TABLE, REFERENCE), context)
    assert status == 0, text
    linux = answers(text)
    status, text = outcome(context.soil(TABLE, "microvm"), context)
    assert status == 0, text
    image = answers(text)
    assert list(image) == list(linux), text
    wanted = set(functions(context))
    assert set(linux) == wanted, set(linux) ^ wanted
    states = {name: does for name, (_, does) in LATER.items()}
    states |= {name: state(name, image[name], linux[name]) for name in linux}
    since = {name: f" (OCaml {version})" for name, (version, _) in LATER.items()}
    rows = [f"| `{name}`{since.get(name, '')} | {states[name]} |\n" for name in sorted(states)]
    page = HEAD + "".join(rows)
    if "SOIL_UPDATE_PAGES" in os.environ:
        with open(PAGE, "w") as file:
            file.write(page)
    with open(PAGE) as file:
        old = file.read().splitlines()
    new = page.splitlines()
    differ = [line for line in old + new if (line in old) != (line in new)]
    assert not differ, f"{PAGE} has to be made again, with SOIL_UPDATE_PAGES=1: {differ}"


@test(limit=60)
def unmodified_time_zone(context):
    """A time zone set by name: an image has the rule from the host's file, also in /etc/localtime.
    Without one it has UTC."""
    for options, hours in ((["--env", "TZ=Europe/Berlin"], ["13", "14"]), ([], ["12", "12"])):
        status, text = outcome(context.soil(TABLE, "microvm", "zone", options=options), context)
        assert (status, text.split()) == (0, 2 * hours), text
