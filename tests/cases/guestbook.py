"""The program of docs/from-other-libraries.md, in the versions that the page shows."""

import socket
from concurrent.futures import ThreadPoolExecutor

from cases.network import in_every_form
from harness.console import PATIENCE

FORMS = ("process", "microvm")
CLIENTS = 8


class Visitor:
    def __init__(self, host):
        self.socket = socket.create_connection((host, 7000), timeout=PATIENCE)
        self.lines = self.socket.makefile("rb")

    def says(self, line):
        self.socket.sendall(line + b"\n")

    def hears(self, line):
        heard = self.lines.readline()
        assert heard == line + b"\n", heard

    def leaves(self):
        self.socket.shutdown(socket.SHUT_WR)
        rest = self.lines.read()
        assert rest == b"", rest
        self.socket.close()


def visit(host, number):
    """Signs five times; each line is answered before the next."""
    visitor = Visitor(host)
    for turn in range(5):
        visitor.says(b"guest %d, line %d" % (number, turn))
        visitor.hears(b"thank you, guest %d, line %d" % (number, turn))
    visitor.leaves()


def version(name, mount=(), net=()):
    """A version with its options: those over `Soil.Fs` need a volume, those over `Soil.Tcp` in a
    process the host's network."""

    @in_every_form(forms=FORMS, name=f"guestbook-by-{name}")
    def guestbook(context, form):
        """The guestbook keeps the lines of eight clients, whole and each client's in its order;
        a client that says nothing is sent away, and the others stay."""
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
        reader = Visitor(host)
        reader.says(b"?")
        lines = [reader.lines.readline().decode().strip() for _ in range(5 * CLIENTS)]
        for number in range(CLIENTS):
            own = [line for line in lines if line.startswith(f"guest {number},")]
            assert own == [f"guest {number}, line {turn}" for turn in range(5)], lines
        silent.hears(b"too late")
        assert silent.lines.read() == b""


HOST = ("--net", "host")

version("soil", mount=("--mount", "/tmp=memory:4M"), net=HOST)
version("lwt")
version("unix")
version("both", net=HOST)
