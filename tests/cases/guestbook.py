"""The program of docs/from-other-libraries.md, in the versions of the page."""

import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor

from cases.network import in_every_form
from harness.console import PATIENCE

FORMS = ("process", "microvm")
CLIENTS = 8


class Late(Exception):
    """The server disconnected the visitor: on a busy machine more than two seconds pass between
    lines."""


class Visitor:
    """A client. A line answered with `Late` isn't in the book."""

    def __init__(self, host):
        self.socket = socket.create_connection((host, 7000), timeout=PATIENCE)
        self.lines = self.socket.makefile("rb")

    def asks(self, line):
        """Sends the line; returns the line received."""
        try:
            self.socket.sendall(line + b"\n")
            heard = self.lines.readline()
        except ConnectionError:
            raise Late from None
        if heard in (b"", b"too late\n"):
            raise Late
        return heard

    def leaves(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
            rest = self.lines.read()
            assert rest in (b"", b"too late\n"), rest
        self.socket.close()


def visit(host, number):
    """Signs five times; each line is answered before the next."""
    visitor = Visitor(host)
    turn = 0
    while turn < 5:
        try:
            heard = visitor.asks(b"guest %d, line %d" % (number, turn))
        except Late:
            visitor = Visitor(host)
            continue
        assert heard == b"thank you, guest %d, line %d\n" % (number, turn), heard
        turn += 1
    visitor.leaves()


def book_of(host):
    """The book's lines; their number is known."""
    while True:
        reader = Visitor(host)
        try:
            first = reader.asks(b"?")
        except Late:
            continue
        lines = [first, *(reader.lines.readline() for _ in range(5 * CLIENTS - 1))]
        return [line.decode().strip() for line in lines]


def version(name, mount=(), net=()):
    """A version with its options: versions over `Soil.Fs` need a volume, those over `Soil.Tcp` in a
    process the host's network."""

    @in_every_form(forms=FORMS, name=f"guestbook-by-{name}")
    def guestbook(context, form):
        """The guestbook keeps the lines of eight clients, whole and each client's in order; it
        disconnects a client that sends nothing, and the others stay."""
        tap = None if form == "process" else context.tap()
        host = tap.guest if tap else "127.0.0.1"
        book = "/tmp/book" if mount or tap else context.path("book")
        options = [*mount, *(() if tap else net)]
        program = f"tests/programs/guestbook/by_{name}.exe"
        child = context.soil(program, form, book, options=options, tap=tap)
        child.wait_line("the guestbook is open")
        silent = Visitor(host)
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(lambda number: visit(host, number), range(CLIENTS)))
        lines = book_of(host)
        for number in range(CLIENTS):
            own = [line for line in lines if line.startswith(f"guest {number},")]
            assert own == [f"guest {number}, line {turn}" for turn in range(5)], lines
        assert silent.lines.read() == b"too late\n"


HOST = ("--net", "host")

version("soil", mount=("--mount", "/tmp=memory:4M"), net=HOST)
version("eio")
version("lwt")
version("unix")
version("both", net=HOST)
