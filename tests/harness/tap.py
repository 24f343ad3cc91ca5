"""TAP interfaces for guests, made inside the sandbox's network namespace."""

import contextlib
import errno
import fcntl
import os
import socket
import struct
import subprocess
import time

from harness.console import PATIENCE

SO_RCVBUFFORCE = 33  # Python has no constant for it.
TUNSETIFF = 0x400454CA
SIOCGIFFLAGS = 0x8913
IFF_RUNNING = 0x40
TAP_WITH_HEADER = 0x2 | 0x1000 | 0x4000  # IFF_TAP, IFF_NO_PI, IFF_VNET_HDR
# Linux sends neighbour solicitations once a second, by default three times.
SOLICITATIONS = 300


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def hold_more(listener):
    """Gives a packet socket a receive buffer of 16 MiB, for frames that arrive while its thread
    isn't scheduled; without the privilege the buffer stays as it was."""
    with contextlib.suppress(PermissionError):
        listener.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)


def wait_for_neighbours(device):
    """Lets Linux wait some minutes for hosts on this device that don't answer ARP or neighbour
    discovery. By default it reports "No route to host" after three seconds, for which a busy host
    may not run a guest."""
    for family in ("ipv4", "ipv6"):
        for kind in ("mcast_solicit", "ucast_solicit"):
            path = f"/proc/sys/net/{family}/neigh/{device}/{kind}"
            # Some kernels lack IPv6.
            with (
                contextlib.suppress(FileNotFoundError),
                open(path, "w", encoding="ascii") as file,
            ):
                file.write(str(SOLICITATIONS))


class Tap:
    """A TAP with virtio-net headers, the host at `.1` of its own /24 and the guest at `.2`.

    `number` (0..65535) determines the name and the subnet 10.(64+n/256).(n%256).0/24, so that
    parallel tests use different ones.
    """

    def __init__(self, number):
        self.name = f"soil{number}"
        prefix = f"10.{64 + number // 256}.{number % 256}"
        self.network = prefix + ".0/24"
        self.host = prefix + ".1"
        self.guest = prefix + ".2"
        self.guest_cidr = self.guest + "/24"
        self.prefix = prefix

    def wait_free(self):
        """Waits until the device is unused: Linux closes the files of an io_uring some time after
        their process has ended."""
        request = struct.pack("16sH22x", self.name.encode(), TAP_WITH_HEADER)
        until = time.monotonic() + PATIENCE
        while True:
            device = os.open("/dev/net/tun", os.O_RDWR)
            try:
                fcntl.ioctl(device, TUNSETIFF, request)
                return
            except OSError as problem:
                if problem.errno != errno.EBUSY or time.monotonic() > until:
                    raise
            finally:
                os.close(device)
            time.sleep(0.01)

    def wait_up(self):
        """Waits until the guest has opened the device and Linux sends on it: Linux takes up to a
        second to notice the carrier, and drops the host's frames until then."""
        request = struct.pack("16sH22x", self.name.encode(), 0)
        until = time.monotonic() + PATIENCE
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            while True:
                answer = fcntl.ioctl(any_socket, SIOCGIFFLAGS, request)
                if struct.unpack_from("H", answer, 16)[0] & IFF_RUNNING:
                    return
                assert time.monotonic() < until, f"{self.name} has no carrier"
                time.sleep(0.01)

    def __enter__(self):
        ip("tuntap", "add", "dev", self.name, "mode", "tap", "vnet_hdr")
        try:
            wait_for_neighbours(self.name)
            ip("addr", "add", self.host + "/24", "dev", self.name)
            ip("link", "set", self.name, "up")
        except (subprocess.CalledProcessError, OSError):
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "link", "del", self.name], capture_output=True, check=False)
