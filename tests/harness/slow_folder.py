"""A file system of one file, `file`, that answers when the test wants (FUSE, linux/fuse.h)."""

import ctypes
import os
import select
import stat
import struct
import threading

from harness.context import Skip

LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE, STATFS = 1, 2, 3, 4, 14, 15, 16, 17
RELEASE, FSYNC, FLUSH, INIT, OPENDIR, INTERRUPT, DESTROY, BATCH_FORGET = (
    18,
    20,
    25,
    26,
    27,
    36,
    38,
    42,
)
UNANSWERED = (FORGET, INTERRUPT, DESTROY, BATCH_FORGET)
ROOT, FILE = 1, 2
DIRECT_IO = 1  # no page cache: each read and write is a request
ENOENT, ENOSYS = 2, 38


class SlowFolder:
    """Creates `directory` and mounts the file system there until the end of the block.
    `held(number)` decides whether a request waits for `answer`; `requests` has those waiting as
    (opcode, unique, node, body)."""

    def __init__(self, directory, contents, held):
        self.directory, self.contents, self.held = directory, bytearray(contents), held
        self.requests = []

    def __enter__(self):
        os.mkdir(self.directory)
        try:
            self.device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise Skip(f"no FUSE here: {error}") from None
        options = f"fd={self.device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"soil", self.directory.encode(), b"fuse", 0, options) != 0:
            os.close(self.device)
            raise Skip(
                f"a FUSE file system can't be mounted here: {os.strerror(ctypes.get_errno())}"
            )
        return self

    def __exit__(self, *_):
        # Unmounting also ends unanswered requests.
        os.close(self.device)
        ctypes.CDLL(None).umount2(self.directory.encode(), 2)

    def serve(self):
        """Takes and answers requests in a thread until the end of the block."""

        def loop():
            try:
                while True:
                    self.scan(1)
            except (OSError, ValueError):
                pass  # The device is closed.

        threading.Thread(target=loop, daemon=True).start()

    def scan(self, seconds):
        """Takes the requests that arrive within `seconds`, and answers those not held."""
        while select.select([self.device], [], [], seconds)[0]:
            seconds = 0
            try:
                data = os.read(self.device, 1 << 18)
            except (BlockingIOError, FileNotFoundError):
                continue
            _, opcode, unique, node = struct.unpack_from("<IIQQ", data)
            request = (opcode, unique, node, data[40:])
            if opcode in UNANSWERED:
                continue
            if self.held(opcode):
                self.requests.append(request)
            else:
                self.answer(request)

    def answer(self, request):
        opcode, unique, node, body = request
        if request in self.requests:
            self.requests.remove(request)
        error, reply = self.reply(opcode, node, body)
        os.write(self.device, struct.pack("<IiQ", 16 + len(reply), -error, unique) + reply)

    def attributes(self, node):
        mode, size = (
            (stat.S_IFDIR | 0o755, 0)
            if node == ROOT
            else (stat.S_IFREG | 0o644, len(self.contents))
        )
        return struct.pack("<6Q10I", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def reply(self, opcode, node, body):
        """The error, and the answer. The kernel caches nothing: all validity times are zero."""
        if opcode == INIT:
            major, minor, ahead = struct.unpack_from("<3I", body)
            return 0, struct.pack(
                "<4I2H2I2HI7I", major, min(minor, 31), ahead, 0, 12, 9, 1 << 17, 1, 32, *[0] * 9
            )
        if opcode == LOOKUP:
            if body.rstrip(b"\0") != b"file":
                return ENOENT, b""
            return 0, struct.pack("<4Q2I", FILE, 0, 0, 0, 0, 0) + self.attributes(FILE)
        if opcode in (GETATTR, SETATTR):
            return 0, struct.pack("<Q2I", 0, 0, 0) + self.attributes(node)
        if opcode in (OPEN, OPENDIR):
            return 0, struct.pack("<Q2I", 1, DIRECT_IO if opcode == OPEN else 0, 0)
        if opcode == READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            return 0, bytes(self.contents[offset : offset + size])
        if opcode == WRITE:
            _, offset, size = struct.unpack_from("<QQI", body)
            self.contents[offset : offset + size] = body[40 : 40 + size]
            return 0, struct.pack("<2I", size, 0)
        if opcode == STATFS:
            return 0, struct.pack("<5Q10I", 1, 1, 1, 1, 1, 512, 255, 512, *[0] * 7)
        return (0, b"") if opcode in (RELEASE, FSYNC, FLUSH) else (ENOSYS, b"")
