"""A disk over NBD (the protocol's document, `proto.md`: fixed newstyle, simple replies) whose
flushes end when the test says so."""

import os
import socket
import struct
import threading

from harness import faulty

MAGIC = 0x49484156454F5054  # IHAVEOPT
REPLY_MAGIC = 0x3E889045565A9
UNSUPPORTED = (1 << 31) + 1
READ, WRITE, DISCONNECT, FLUSH = range(4)
HAS_FLAGS, SEND_FLUSH = 1, 4


class Server:
    """Serves the file `path` on a socket until it is closed. While `holds` is set, flushes are put
    into `held`, as functions that answer them, and other requests are done."""

    def __init__(self, context, path):
        self.holds, self.held, self.flushes = False, [], 0
        self.address = context.path(f"nbd-{os.path.basename(path)}")
        self.file = os.open(path, os.O_RDWR)
        self.size = os.stat(path).st_size
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.address)
        self.listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def qemu(self, context, only):
        """A QEMU whose disk with the words `only` is this one."""
        nbd = f"file.driver=nbd,file.server.type=unix,file.server.path={self.address}"
        return faulty.wrapper(
            context, f"qemu-{os.path.basename(self.address)}", nbd, only=only, instead=True
        )

    def close(self):
        self.listener.close()

    def _serve(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._session, args=(peer,), daemon=True).start()

    def _session(self, peer):
        lock = threading.Lock()
        try:
            self._negotiate(peer)
            while True:
                magic, _, kind, handle, offset, length = struct.unpack(">IHHQQI", exactly(peer, 28))
                assert magic == 0x25609513, hex(magic)
                data = exactly(peer, length) if kind == WRITE else b""
                if kind == DISCONNECT:
                    return

                def answer(data=b"", handle=handle):
                    with lock:
                        peer.sendall(struct.pack(">IIQ", 0x67446698, 0, handle) + data)

                if kind == FLUSH:
                    self.flushes += 1
                    if self.holds:
                        self.held.append(answer)
                    else:
                        answer()
                elif kind == READ:
                    answer(os.pread(self.file, length, offset))
                else:
                    os.pwrite(self.file, data, offset)
                    answer()
        except (ConnectionError, OSError):
            pass
        finally:
            peer.close()

    def _negotiate(self, peer):
        peer.sendall(struct.pack(">8sQH", b"NBDMAGIC", MAGIC, 3))
        exactly(peer, 4)
        while True:
            _, option, length = struct.unpack(">QII", exactly(peer, 16))
            exactly(peer, length)

            def reply(kind, data=b"", option=option):
                peer.sendall(struct.pack(">QIII", REPLY_MAGIC, option, kind, len(data)) + data)

            if option in (6, 7):  # INFO, GO
                reply(3, struct.pack(">HQH", 0, self.size, HAS_FLAGS | SEND_FLUSH))
                reply(1)
                if option == 7:
                    return
            else:
                reply(UNSUPPORTED)


def exactly(peer, length):
    """The next bytes from the peer."""
    data = b""
    while len(data) < length:
        more = peer.recv(length - len(data))
        if not more:
            raise ConnectionError("the peer has gone")
        data += more
    return data
