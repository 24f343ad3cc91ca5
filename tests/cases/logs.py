"""soil-sight.logs: messages to syslog servers over UDP and TCP, parsed strictly by RFC 5424 and 6587."""

import datetime
import re
import socket
import subprocess

from cases.network import in_every_form
from harness.console import PATIENCE
from harness.context import command

PROGRAM = "tests/programs/sight/logged.exe"
FORMS = ("process", "microvm")

# RFC 5424, 6: PRINTUSASCII names of limited lengths, a time as in RFC 3339 with at most six digits.
MESSAGE = re.compile(
    rb"<(0|[1-9]\d{0,2})>1 "
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z) "
    rb"([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) -(?: (.*))?",
    re.DOTALL,
)


def parse(message):
    """Priority, hostname, application, MSGID and text of a message."""
    match = MESSAGE.fullmatch(message)
    assert match, message[:200]
    priority, time, host, application, process, kind, text = match.groups()
    assert int(priority) <= 191 and process == b"-", message[:200]
    sent = datetime.datetime.strptime(time.decode(), "%Y-%m-%dT%H:%M:%S.%fZ")
    age = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) - sent
    # The image's clock comes from the host's.
    assert abs(age.total_seconds()) < 3600, time
    names = [name.decode() for name in (host, application, kind)]
    return (int(priority), *names, (text or b"").decode())


def frames(stream):
    """The messages of a connection by octet counting (RFC 6587, 3.4.1), until it ends."""
    while digit := stream.read(1):
        count = b""
        while digit != b" ":
            count += digit
            assert re.fullmatch(rb"[1-9]\d{0,5}", count), count
            digit = stream.read(1)
        message = stream.read(int(count))
        assert len(message) == int(count), message[-100:]
        yield message


def listener(context, tap):
    server = socket.create_server((tap.host, 0))
    server.settimeout(PATIENCE)
    context._closing.append(server.close)
    return server, "{}:{}".format(*server.getsockname())


def accept(server):
    connection, _ = server.accept()
    connection.settimeout(PATIENCE)
    return connection


def receiver(context, tap):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((tap.host, 0))
    server.settimeout(PATIENCE)
    context._closing.append(server.close)
    return server, "{}:{}".format(*server.getsockname())


@in_every_form(forms=FORMS)
def syslog(context, form):
    """Messages of each level reach a syslog server over UDP and one over TCP in order, in the form
    of RFC 5424, truncated at a character's end; the console has the same. After the scope they go
    to the error channel."""
    tap = context.tap()
    (datagrams, udp), (server, tcp) = receiver(context, tap), listener(context, tap)
    child = context.soil(PROGRAM, form, "some", udp, tcp, tap=tap, stdin=subprocess.PIPE)
    with accept(server) as connection, connection.makefile("rb") as stream:
        messages = frames(stream)
        over_tcp, raw = [parse(next(messages))], [datagrams.recv(65535)]
        # Both servers are connected: log the rest, and end the scope.
        child.process.stdin.close()
        over_tcp += [parse(message) for message in messages]
    raw += [datagrams.recv(65535) for _ in over_tcp[1:]]
    over_udp = [parse(message) for message in raw]
    assert child.finish(context.remaining()) == 0, child.text
    assert max(map(len, raw)) in (2047, 2048), [len(message) for message in raw]
    odd = "a_name_with_blanks,_longer_than_"
    expected = [
        (13, "-", "begins"),
        (11, "store", "disk data: 2 errors"),
        (12, "-", "HEAD: two\nlines"),
        (14, odd, "ünicode"),
        (15, "-", "ä" * 3000),
    ]
    assert [(p, kind, text) for p, _, _, kind, text in over_tcp] == expected, over_tcp
    assert [message[:4] for message in over_udp] == [
        (p, "host.example", "logged", kind) for p, kind, _ in expected
    ], over_udp
    for (*_, whole), (*_, cut) in zip(over_tcp, over_udp):
        assert whole.startswith(cut) and (cut == whole or len(whole) == 3000), cut
    console = child.text.replace("\r", "")
    begin = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z app: begins$"
    assert re.search(begin, console, re.MULTILINE), console
    for line in (
        "Z app: begins\n",
        "Z error: store: disk data: 2 errors\n",
        "Z warn: HEAD: two\nlines\n",
        "Z info: a name with blanks, longer than thirty-two letters: ünicode\n",
        "Z warn: after the scope\n",
    ):
        assert line in console, (line, console)


@in_every_form(forms=FORMS)
def syslog_that_stalls(context, form):
    """A server that reads nothing blocks no logging task: messages beyond its queue are dropped,
    and a message has their number; no other is lost."""
    tap, count = context.tap(), 6000
    server, tcp = listener(context, tap)
    words = command(PROGRAM, form, ["many", tcp, count], tap=tap)
    child = context.child(words, stdin=subprocess.PIPE)
    with accept(server) as connection, connection.makefile("rb") as stream:
        child.wait_line("logged, and some were dropped: true")
        got, told = [], 0
        for message in frames(stream):
            *_, kind, text = parse(message)
            if kind == "soil-sight.logs":
                told += int(re.fullmatch(r"syslog tcp \S+: (\d+) messages.*", text)[1])
            else:
                got.append(int(text.split(" ")[0]))
            if len(got) + told == count:
                # No message is left that the scope's end could cut off.
                child.process.stdin.close()
    assert child.finish(context.remaining()) == 0, child.text
    assert got == sorted(set(got)) and len(got) >= 50, got
    assert len(got) + told == count, (len(got), told)


def accept_soon(server):
    """A connection, or None when the server's time limit is over."""
    try:
        return accept(server)
    except TimeoutError:
        return None


@in_every_form(forms=FORMS)
def syslog_that_starts_again(context, form):
    """A server that is absent, or ends, gets the messages logged meanwhile once it is back."""
    tap = context.tap()
    server, tcp = listener(context, tap)
    server.close()
    words = command(PROGRAM, form, ["again", tcp], tap=tap)
    child = context.child(words, stdin=subprocess.PIPE)

    def log(*lines):
        child.process.stdin.write("".join(line + "\n" for line in lines).encode())
        child.process.stdin.flush()

    log("one", "two")
    address, port = tcp.split(":")
    with socket.create_server((address, int(port))) as server:
        server.settimeout(PATIENCE)
        connection = accept(server)
        with connection, connection.makefile("rb") as stream:
            messages = frames(stream)
            assert [parse(next(messages))[-1] for _ in range(2)] == ["one", "two"]
            # With a reset: messages sent after it has arrived fail at once.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        logged = []
        server.settimeout(0.2)
        # Messages in flight on the old connection may be lost.
        while not (connection := accept_soon(server)):
            assert len(logged) < PATIENCE / 0.2, child.text
            logged.append(f"line {len(logged)}")
            log(logged[-1])
        with connection, connection.makefile("rb") as stream:
            log("six", "end")
            texts = [parse(message)[-1] for message in frames(stream)]
    assert child.finish(context.remaining()) == 0, child.text
    logged.append("six")
    assert len(texts) >= 2 and texts == logged[-len(texts) :], (texts, logged)


@in_every_form(forms=FORMS)
def syslog_from_threads(context, form):
    """Threads log like tasks."""
    tap = context.tap()
    server, tcp = listener(context, tap)
    child = context.soil(PROGRAM, form, "threads", tcp, tap=tap, stdin=subprocess.PIPE)
    with accept(server) as connection, connection.makefile("rb") as stream:
        messages = frames(stream)
        assert parse(next(messages))[-1] == "begins"
        # The threads log, and the scope ends.
        child.process.stdin.close()
        texts = {parse(message)[-1] for message in messages}
    assert texts == {f"thread {i}" for i in range(4)}, texts
    assert child.finish(context.remaining()) == 0, child.text
