"""A VNC client (RFC 6143, with QEMU's key events and the community's sizes and cursors)."""

import socket
import struct

from harness.console import PATIENCE

RAW, CURSOR, KEY_CODES, SIZE = 0, -314, -258, -308


class Vnc:
    """A client of display `number` of 127.0.0.1, which accepts these encodings."""

    def __init__(self, number, encodings=(RAW, CURSOR, KEY_CODES, SIZE)):
        self.socket = socket.create_connection(("127.0.0.1", 5900 + number), timeout=PATIENCE)
        assert self.take(12).startswith(b"RFB 003.")
        self.socket.sendall(b"RFB 003.008\n")
        kinds = self.take(self.take(1)[0])
        assert 1 in kinds, kinds
        self.socket.sendall(b"\x01")
        assert self.take(4) == bytes(4)
        self.socket.sendall(b"\x01")
        width, height = struct.unpack(">HH16x", self.take(20))
        self.name = self.take(struct.unpack(">I", self.take(4))[0])
        self.rows = [bytearray(3 * width) for _ in range(height)]
        self.cursor = None
        head = struct.pack(">BxH", 2, len(encodings))
        self.socket.sendall(head + b"".join(struct.pack(">i", each) for each in encodings))

    def take(self, length):
        data = b""
        while len(data) < length:
            piece = self.socket.recv(length - len(data))
            assert piece, "the server has gone"
            data += piece
        return data

    def request(self, incremental=True):
        self.socket.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, 65535, 65535))

    def update(self):
        """Takes an update; is its encodings with column, row, width and height."""
        kind, count = struct.unpack(">BxH", self.take(4))
        assert kind == 0, kind
        return [self.part() for _ in range(count)]

    def part(self):
        x, y, width, height, encoding = struct.unpack(">HHHHi", self.take(12))
        if encoding == RAW:
            for row in range(y, y + height):
                data = self.take(4 * width)
                pixels = b"".join(data[n : n + 3][::-1] for n in range(0, len(data), 4))
                self.rows[row][3 * x : 3 * (x + width)] = pixels
        elif encoding == SIZE:
            self.take(16 * self.take(4)[0])
            old = self.rows
            self.rows = [bytearray(3 * width) for _ in range(height)]
            for to, row in zip(self.rows, old, strict=False):
                to[: len(row)] = row[: len(to)]
        elif encoding == CURSOR:
            assert self.take(4) == bytes(4)
            self.cursor = self.take(4 * width * height)
        return encoding, x, y, width, height

    def await_picture(self, rows):
        """Takes updates until the picture is this one; is their parts."""
        parts = []
        while [bytes(row) for row in self.rows] != rows:
            self.request()
            parts += self.update()
        return parts

    def resize(self, width, height):
        screen = struct.pack(">IHHHHI", 0, 0, 0, width, height, 0)
        self.socket.sendall(struct.pack(">BxHHBx", 251, width, height, 1) + screen)

    def key(self, code, down, symbol=0):
        """Presses or releases a key by its scan code, or by its symbol if that is 0."""
        if code:
            self.socket.sendall(struct.pack(">BBHII", 255, 0, down, symbol, code))
        else:
            self.socket.sendall(struct.pack(">BBHI", 4, down, 0, symbol))

    def pointer(self, x, y, buttons=0):
        self.socket.sendall(struct.pack(">BBHH", 5, buttons, x, y))
