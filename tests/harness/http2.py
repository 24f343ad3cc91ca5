"""HTTP/2 by hand (RFC 9113): frames, field blocks without compression, and a connection that can
break each rule."""

import collections
import select
import socket
import struct
import time

from harness.console import PATIENCE

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
(
    DATA,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    PUSH_PROMISE,
    PING,
    GOAWAY,
    WINDOW_UPDATE,
    CONTINUATION,
) = range(10)
PRIORITY_UPDATE = 16
END_STREAM = ACK = 1
END_HEADERS = 4
PADDED = 8

# Settings (RFC 9113 §6.5.2) and errors (§7).
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME, MAX_FIELDS = range(1, 7)
(
    NO_ERROR,
    PROTOCOL_ERROR,
    INTERNAL_ERROR,
    FLOW_CONTROL_ERROR,
    SETTINGS_TIMEOUT,
    STREAM_CLOSED,
    FRAME_SIZE_ERROR,
    REFUSED_STREAM,
    CANCEL,
    COMPRESSION_ERROR,
    CONNECT_ERROR,
    ENHANCE_YOUR_CALM,
) = range(12)

# Statuses of HPACK's static table by index, and its Huffman codes of digits.
STATUSES = dict(zip(range(8, 15), (200, 204, 206, 304, 400, 404, 500)))
DIGITS = {f"{n:05b}": n for n in range(3)} | {f"{n + 22:06b}": n for n in range(3, 10)}


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def integer(pattern, prefix, number):
    """An integer of HPACK (RFC 7541 §5.1)."""
    most = (1 << prefix) - 1
    if number < most:
        return bytes([pattern | number])
    out, number = bytearray([pattern | most]), number - most
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out + bytes([number]))


def text(value):
    value = value if isinstance(value, bytes) else value.encode()
    return integer(0, 7, len(value)) + value


def field(name, value, pattern=0):
    """A literal field: without indexing, or with the pattern 0x40 a new entry of the table."""
    return bytes([pattern]) + text(name) + text(value)


def request(path="/", method="GET", authority="a", scheme="http", fields=()):
    """A block of a request's fields; None leaves one out."""
    names = (":method", ":scheme", ":authority", ":path")
    pseudo = zip(names, (method, scheme, authority, path))
    return b"".join(field(*each) for each in [*(p for p in pseudo if p[1] is not None), *fields])


def settings(*pairs):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", *pair) for pair in pairs))


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def reset(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def get(stream, path="/", **options):
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, request(path, **options))


def post(stream, path="/", **options):
    """The head of a request with a body."""
    return frame(HEADERS, END_HEADERS, stream, request(path, "POST", **options))


def status(block):
    """The status of a response: its first field, after changes of the table's size."""
    at = 0
    while block[at] & 0xE0 == 0x20:
        large = block[at] & 31 == 31
        at += 1
        while large:
            large = block[at] & 0x80
            at += 1
    if block[at] & 0x80:
        return STATUSES[block[at] & 0x7F]
    coded, length = block[at + 1] & 0x80, block[at + 1] & 0x7F
    value = block[at + 2 : at + 2 + length]
    if not coded:
        return int(value)
    number, code = 0, ""
    for bit in "".join(f"{byte:08b}" for byte in value):
        code += bit
        if code in DIGITS:
            number, code = 10 * number + DIGITS[code], ""
    return number


class Cut(Exception):
    """The peer has ended the connection, or has sent GOAWAY with an error."""


Frame = collections.namedtuple("Frame", "kind flags stream payload")


class Connection:
    """A client's connection. It reads whenever it sends, so that neither side waits for the other,
    and acknowledges settings and pings if `polite`. `get` gives the connection's window back."""

    def __init__(self, host, port=8000, pairs=(), polite=True, preface=None, patience=PATIENCE):
        self.socket = socket.create_connection((host, port), timeout=patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.patience, self.polite = patience, polite
        self.input, self.output, self.frames = bytearray(), bytearray(), collections.deque()
        # The last GOAWAY's error, whether the connection has ended, and errors by stream.
        self.goaway, self.ended, self.resets = None, False, {}
        self.next = 1
        self.send((PREFACE + settings(*pairs)) if preface is None else preface)

    def close(self):
        self.socket.close()

    def stream(self):
        """The number of a new stream."""
        self.next += 2
        return self.next - 2

    def is_cut(self):
        return self.ended or self.goaway not in (None, NO_ERROR)

    def _frame(self, kind, flags, stream, payload):
        self.frames.append(Frame(kind, flags, stream, payload))
        if kind == GOAWAY:
            self.goaway = struct.unpack_from(">I", payload, 4)[0]
        elif kind == RST_STREAM:
            self.resets[stream] = struct.unpack(">I", payload)[0]
        elif self.polite and kind in (SETTINGS, PING) and not flags & ACK:
            self.output += frame(kind, ACK, 0, payload if kind == PING else b"")

    def _receive(self):
        try:
            while piece := self.socket.recv(1 << 18):
                self.input += piece
            self.ended = True
        except BlockingIOError:
            pass
        except ConnectionError:
            self.ended = True
        at = 0
        while len(self.input) - at >= 9:
            length = int.from_bytes(self.input[at : at + 3], "big")
            if len(self.input) - at < 9 + length:
                break
            kind, flags, stream = struct.unpack_from(">BBI", self.input, at + 3)
            self._frame(kind, flags, stream, bytes(self.input[at + 9 : at + 9 + length]))
            at += 9 + length
        del self.input[:at]

    def turn(self, seconds):
        """Sends and reads what is possible after a wait of at most `seconds`; whether there was
        anything."""
        if self.ended:
            raise Cut
        want = [self.socket] if self.output else []
        readable, writable, _ = select.select([self.socket], want, [], seconds)
        if readable:
            self._receive()
        if writable and not self.ended:
            try:
                del self.output[: self.socket.send(self.output)]
            except BlockingIOError:
                pass
            except ConnectionError:
                self._receive()
                self.ended = True
        if self.is_cut():
            raise Cut
        return bool(readable or writable)

    def send(self, data):
        """Sends whole frames; raises Cut if the connection ends first."""
        self.output += data
        until = time.monotonic() + self.patience
        while self.output:
            assert time.monotonic() < until, "the peer reads nothing"
            self.turn(1)

    def wait(self, condition, patience=None):
        """Waits until `condition()`."""
        until = time.monotonic() + (patience or self.patience)
        while not condition():
            left = until - time.monotonic()
            assert left > 0, f"still waiting; {self.goaway} {list(self.frames)[-5:]}"
            self.turn(left)

    def wait_cut(self, patience=None):
        """The error with which the peer ends the connection: None where it sends no GOAWAY."""
        try:
            self.wait(lambda: False, patience)
        except Cut:
            return self.goaway

    def response(self, stream, patience=None):
        """(status, body) of a stream, or (None, error) where it was reset."""
        while True:
            mine = [f for f in self.frames if f.stream == stream and f.kind in (DATA, HEADERS)]
            if stream in self.resets and not any(f.flags & END_STREAM for f in mine):
                return None, self.resets[stream]
            if any(f.flags & END_STREAM for f in mine):
                heads = [f for f in mine if f.kind == HEADERS]
                self.frames = collections.deque(f for f in self.frames if f.stream != stream)
                return status(heads[0].payload), b"".join(f.payload for f in mine if f.kind == DATA)
            count = len(self.frames)
            self.wait(lambda: len(self.frames) > count, patience)

    def get(self, path="/", **options):
        """(status, body) of one more request."""
        stream = self.stream()
        self.send(get(stream, path, **options))
        answer, body = self.response(stream)
        if answer and body:
            # With the next frames.
            self.output += window_update(0, len(body))
        return answer, body
