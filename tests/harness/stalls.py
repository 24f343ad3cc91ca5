"""Stops single processors of an emulated machine now and then, as a busy host does: by ptrace(2),
which stops one thread of QEMU, where a signal would stop all.

Usage: stalls.py SEED THREAD…, until the machine ends. The threads are those of `query-cpus-fast`.
"""

import ctypes
import os
import random
import sys
import time

SEIZE, INTERRUPT, CONT = 0x4206, 0x4207, 7
WALL = 0x40000000
# How long a processor is stopped, and how long all run, in seconds.
STOPPED = (0.001, 0.05)
RUNNING = (0.0005, 0.02)

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
LIBC.ptrace.restype = ctypes.c_long


def trace(request, thread, data=0):
    """Whether the thread was there."""
    return LIBC.ptrace(request, thread, None, data) == 0


def main(seed, threads):
    """Returns how often one was stopped."""
    choose = random.Random(seed)
    stops = 0
    for thread in threads:
        if not trace(SEIZE, thread):
            print(os.strerror(ctypes.get_errno()).lower())
    try:
        while True:
            thread = choose.choice(threads)
            if not trace(INTERRUPT, thread):
                return stops
            _, status = os.waitpid(thread, WALL)
            if not os.WIFSTOPPED(status):
                return stops
            time.sleep(choose.uniform(*STOPPED))
            # A signal that it was about to take is passed on.
            is_event = status >> 16
            if not trace(CONT, thread, 0 if is_event else os.WSTOPSIG(status)):
                return stops
            stops += 1
            time.sleep(choose.uniform(*RUNNING))
    except ChildProcessError:
        # The machine has ended.
        return stops


if __name__ == "__main__":
    print(main(int(sys.argv[1]), [int(word) for word in sys.argv[2:]]), "stops")
