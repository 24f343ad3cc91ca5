"""Sends bytes to a service that returns them, reads at the same time, and compares: HOST PORT
COUNT."""

import hashlib
import random
import socket
import sys
import threading


def main():
    host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    data = random.Random(count).randbytes(count)
    with socket.create_connection((host, port), timeout=60) as peer:
        # The caller has a limit. A time here would be all that `sendall` has.
        peer.settimeout(None)

        def send():
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        got, digest = 0, hashlib.md5()
        while piece := peer.recv(65536):
            got += len(piece)
            digest.update(piece)
        sender.join()
    same = digest.digest() == hashlib.md5(data).digest()
    print(f"{got} of {count} bytes, {'the same' if same else 'others'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
