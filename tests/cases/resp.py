"""examples/servers/cache: redis-cli, redis-benchmark and redis-server itself as peers, raw requests of
strangers."""

import random
import shutil
import socket
import time

from cases.network import in_every_form
from harness.console import PATIENCE
from harness.context import SOCKETS, Skip
from harness.runner import test

FORMS = (SOCKETS, "process", "microvm")
PORT = 6379
WORDS = 1 << 14
REQUEST = 1 << 20


def cache(context, form):
    """The server; its address."""
    if not shutil.which("redis-cli"):
        raise Skip("redis-tools isn't installed; run: make setup")
    tap = context.tap(form)
    child = context.soil("examples/servers/cache.exe", form, tap=tap)
    child.wait_line("listening on")
    if form != SOCKETS:
        tap.wait_up()
    return tap.guest


def request(*words):
    """A command as an array of bulk strings."""
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class Client:
    """A connection with raw requests and parsed answers."""

    def __init__(self, host, port=PORT):
        self.socket = socket.create_connection((host, port), PATIENCE)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def answer(self):
        """The next answer: bytes with the type for a line, bytes, a number, a list or None."""
        line = self.file.readline()
        assert line.endswith(b"\r\n"), line
        kind, rest = line[:1], line[1:-2]
        if kind in b"+-":
            return kind + rest
        number = int(rest)
        if kind == b":":
            return number
        if kind == b"*":
            return [self.answer() for _ in range(number)]
        assert kind == b"$", line
        if number < 0:
            return None
        data = self.file.read(number + 2)
        assert data[number:] == b"\r\n", data
        return data[:-2]

    def ask(self, *words):
        self.send(request(*words))
        return self.answer()

    def ends(self):
        """Whether nothing more comes."""
        try:
            return self.file.read() == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.file.close()
        self.socket.close()


@in_every_form(forms=FORMS)
def redis_tools(context, form):
    """redis-cli sets and gets values, and shows an error; 50 clients of redis-benchmark with 16 requests
    in flight each get an answer to every one, and what they count is exact."""
    host = cache(context, form)

    def cli(*words):
        return context.run("redis-cli", "-h", host, *words).stdout

    assert cli("set", "a", "one two") == "OK\n"
    assert cli("get", "a") == "one two\n"
    assert cli("get", "b") == "\n"
    assert cli("incr", "n") == "1\n"
    assert "ERR unknown command" in cli("keys", "*")
    words = ["-h", host, "-c", "50", "-n", "4000", "--csv", "-t"]
    for pipeline, tests in (("16", "ping_inline,ping_mbulk,set,get,incr,mset"), ("1", "incr")):
        out = context.run("redis-benchmark", *words, tests, "-P", pipeline)
        rows = [line.split(",")[0] for line in out.stdout.splitlines()[1:]]
        assert len(rows) == tests.count(",") + 1, out.stdout
        assert "rror" not in out.stdout + out.stderr, out.stdout + out.stderr
    assert cli("get", "counter:__rand_int__") == "8000\n"
    assert cli("get", "key:__rand_int__") != "\n"


def some_commands(rng, count):
    """Commands whose answers don't depend on the time, on few keys."""
    keys = ["a", "b", b"\x00\xff\r\n", "", "n"]
    values = ["", "7", "-12", "007", "x", b"\r\n$1\r\n", str((1 << 62) - 2), "y" * 5000]
    key, value = lambda: rng.choice(keys), lambda: rng.choice(values)
    options = [[], [], ["NX"], ["xx"], ["EX", "1000"], ["px", "1000000", "NX"], ["EX"], ["EX", "0"]]
    options += [["EX", "x"], ["what"], ["EX", "5", "PX", "5"]]
    makers = [
        lambda: ["SET", key(), value(), *rng.choice(options)],
        lambda: ["set", key(), value()],
        lambda: ["GET", key()],
        lambda: ["MGET", *(key() for _ in range(rng.randint(0, 4)))],
        lambda: ["MSET", *(word for _ in range(rng.randint(0, 3)) for word in (key(), value()))],
        lambda: ["MSET", key(), value(), key()],
        lambda: ["DEL", *(key() for _ in range(rng.randint(0, 3)))],
        lambda: ["Exists", *(key() for _ in range(rng.randint(0, 3)))],
        lambda: ["INCR", "n"],
        lambda: ["INCR", key()],
        lambda: ["EXPIRE", key(), rng.choice(["1000", "0", "-1", "x", "1000000000000000000"])],
        lambda: ["TTL", key()],
        lambda: ["DBSIZE"],
        lambda: ["PING"],
        lambda: ["PING", value()],
        lambda: ["ECHO", value()],
        lambda: ["ECHO"],
        lambda: ["SELECT", "0"],
        lambda: ["NONE", key()],
    ]
    weights = [6, 6, 6] + [2] * (len(makers) - 3)
    return [rng.choices(makers, weights)[0]() for _ in range(count)] + [["FLUSHALL"], ["DBSIZE"]]


def same(ours, theirs):
    """Errors have texts of their own."""
    if isinstance(theirs, bytes) and theirs.startswith(b"-"):
        return isinstance(ours, bytes) and ours.startswith(b"-")
    return ours == theirs


@in_every_form(forms=FORMS)
def as_redis_answers(context, form):
    """Random commands, pipelined in pieces that end anywhere, get redis-server's answers."""
    host = cache(context, form)
    # The package redis-tools has the server, by another name.
    words = ["--port", "6390", "--bind", "127.0.0.1", "--save", "", "--dir", context.directory]
    script = 'exec -a redis-server "$(command -v redis-check-rdb)" "$@"'
    context.child(["bash", "-c", script, "bash", *words]).wait_line("Ready to accept connections")
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    ours, theirs = Client(host), Client("127.0.0.1", 6390)
    for _ in range(20):
        commands = some_commands(rng, 100)
        text = b"".join(request(*words) for words in commands)
        theirs.send(text)
        while text:
            size = rng.choice([1, 7, 100, 4096, 30000])
            ours.send(text[:size])
            text = text[size:]
        for words in commands:
            ours_said, theirs_said = ours.answer(), theirs.answer()
            assert same(ours_said, theirs_said), (seed, words, ours_said, theirs_said)


@in_every_form(forms=FORMS)
def expires(context, form):
    """A value with a time ends by itself, whether it is read or not; one that is set again doesn't."""
    client = Client(cache(context, form))
    assert client.ask("SET", "read", "1", "PX", "60") == b"+OK"
    assert client.ask("SET", "unread", "1", "PX", "60") == b"+OK"
    assert client.ask("SET", "kept", "1", "PX", "60") == b"+OK"
    assert client.ask("SET", "kept", "2") == b"+OK"
    assert client.ask("SET", "long", "3", "EX", "1000") == b"+OK"
    assert client.ask("TTL", "long") in (1000, 999)
    until = time.monotonic() + PATIENCE
    while client.ask("GET", "read") is not None or client.ask("DBSIZE") != 2:
        assert time.monotonic() < until, client.ask("DBSIZE")
        time.sleep(0.02)
    assert client.ask("MGET", "read", "unread", "kept", "long") == [None, None, b"2", b"3"]
    assert client.ask("TTL", "read") == -2 and client.ask("TTL", "kept") == -1


@in_every_form(forms=FORMS)
def strangers(context, form):
    """Lengths beyond the bounds, and what is no RESP, get an error and the end of the connection; other
    connections don't notice. Nothing is answered late: half a request doesn't hold up the answer to
    the whole one before it."""
    host = cache(context, form)
    other = Client(host)
    assert other.ask("SET", "key", b"\x00\r\n\xff") == b"+OK"
    for text in (
        b"*%d\r\n" % (WORDS + 1),
        b"*99999999999999999999\r\n",
        b"*-2\r\n",
        b"*x\r\n",
        b"*1\n",
        b"*1\r\n$%d\r\n" % (REQUEST + 1),
        b"*1\r\n$-1\r\n",
        b"*1\r\n$4611686018427387903\r\n",
        b"*1\r\n:5\r\n",
        b"*1\r\n*1\r\n",
        b"*1\r\n$4\r\nPINGPING\r\n",
        # The words of a request together.
        b"*3\r\n"
        + b"".join(b"$%d\r\n%s\r\n" % (REQUEST // 2, b"x" * (REQUEST // 2)) for _ in "12")
        + b"$1\r\n",
        b"x" * 70000 + b"\r\n",
    ):
        client = Client(host)
        client.send(request("PING") + text)
        assert client.answer() == b"+PONG", text[:40]
        assert client.answer().startswith(b"-ERR Protocol error"), text[:40]
        assert client.ends(), text[:40]
        client.close()
    # The connection ends within a request.
    for text in (
        b"*",
        b"*2\r\n$3\r\nGET\r\n$3",
        b"*2\r\n$3\r\nGET\r\n$3\r\nke",
        b"*1\r\n$900000\r\nx",
    ):
        client = Client(host)
        client.send(text)
        client.socket.shutdown(socket.SHUT_WR)
        said = client.file.read()
        assert said == b"" or said.startswith(b"-ERR Protocol error"), (text, said)
    # What is no error: empty requests, lines, and a request whose words are all there are.
    client = Client(host)
    client.send(b"*0\r\n\r\n*-1\r\nPING\r\n  get   key \nping x y z\r\n")
    assert client.answer() == b"+PONG"
    assert client.answer() == b"\x00\r\n\xff"
    assert client.answer().startswith(b"-ERR")
    large = b"x" * (REQUEST - 9)
    assert client.ask("SET", "large!", large) == b"+OK"
    assert client.ask("GET", "large!") == large
    assert client.ask("EXISTS", *["key"] * (WORDS - 1)) == WORDS - 1
    assert client.ask(b"\r\n-" + b"X" * 100000).startswith(b"-ERR unknown command '  -XX")
    half = request("GET", "key")
    client.send(half + half[:9])
    assert client.answer() == b"\x00\r\n\xff"
    client.send(half[9:])
    assert client.answer() == b"\x00\r\n\xff"
    assert client.ask("QUIT") == b"+OK" and client.ends()
    assert other.ask("GET", "key") == b"\x00\r\n\xff"


@test("cache-is-full")
def full(context):
    """The cache has a bound: a value beyond it is refused whole, and there is room again after others
    have gone. A client that asks for more than it reads takes no memory."""
    host = cache(context, SOCKETS)
    client = Client(host)
    value = b"v" * (REQUEST - 200)
    stored = 0
    while (said := client.ask("SET", f"key{stored}", value)) == b"+OK":
        stored += 1
    assert said.startswith(b"-OOM") and stored == 64, (said, stored)
    assert client.ask("DBSIZE") == stored
    small = ["MSET", "small", "1", *(word for n in range(500) for word in (n, value[:900]))]
    assert client.ask(*small).startswith(b"-OOM")
    assert client.ask("GET", "small") is None
    # An image of the whole cache, many times over, for a client that doesn't read it.
    greedy = Client(host)
    greedy.send(request("MGET", *(f"key{n % stored}" for n in range(WORDS - 1))))
    assert client.ask("DEL", "key0", "key0", "none") == 1
    assert client.ask("SET", "key0", value) == b"+OK"
    greedy.close()
    assert client.ask("FLUSHALL") == b"+OK"
    assert client.ask("DBSIZE") == 0
    assert client.ask("SET", "key", value) == b"+OK"
