"""Starts of guests. A Linux peer that doesn't reach its first output is started again: its kernel's
trouble with a slow emulator must not affect the peer's figures."""

import collections
import contextlib

from harness.console import Child, Timeout

# Maximum starts of a peer.
STARTS = 5
# Repeated starts of peers, by the benchmark's group.
repeated = collections.Counter()
group = "none"


def is_peer(command):
    """Only Linux has an initramfs. A Soil image that doesn't start is an error at once."""
    return "-initrd" in command


def said(text, timeout=None):
    """Seconds from the start of a guest to its first line with `text`; Timeout if it ends before
    that, or takes too long."""
    return lambda child: child.wait_line(text, timeout)[0]


@contextlib.contextmanager
def started(command, first, starts=STARTS, **options):
    """Runs a guest: the child, and the return value of `first(child)`. `first` raises Timeout for a
    guest that didn't start. A peer gets at most `starts` starts."""
    for turn in range(1, starts + 1):
        with Child(command, **options) as child:
            try:
                found = first(child)
            except Timeout:
                if turn == starts or not is_peer(command):
                    raise
                repeated[group] += 1
                print(f"{group}: the peer didn't start, and is started again", flush=True)
                continue
            yield child, found
            return


def summary():
    """A run's report of repeated starts."""
    if not repeated:
        return "each start of the peer worked"
    groups = ", ".join(f"{name} {count}" for name, count in repeated.items())
    return f"starts of the peer that were repeated: {repeated.total()} ({groups})"
