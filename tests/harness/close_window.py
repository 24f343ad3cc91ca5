"""Asks an X11 window, by its number, to close, as its frame does (WM_DELETE_WINDOW)."""

import ctypes
import sys

CLIENT_MESSAGE = 33


class Message(ctypes.Structure):
    """XClientMessageEvent."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 5),
        # XEvent is larger than this structure.
        ("rest", ctypes.c_long * 16),
    ]


def main():
    x11 = ctypes.CDLL("libX11.so.6")
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XInternAtom.restype = ctypes.c_ulong
    x11.XInternAtom.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
    x11.XSendEvent.argtypes = [
        ctypes.c_void_p,
        ctypes.c_ulong,
        ctypes.c_int,
        ctypes.c_long,
        ctypes.c_void_p,
    ]
    x11.XCloseDisplay.argtypes = [ctypes.c_void_p]
    display = x11.XOpenDisplay(None)
    assert display, "no X server"
    protocols = x11.XInternAtom(display, b"WM_PROTOCOLS", 0)
    end = x11.XInternAtom(display, b"WM_DELETE_WINDOW", 0)
    window = int(sys.argv[1])
    data = (ctypes.c_long * 5)(end)
    message = Message(CLIENT_MESSAGE, 0, 0, None, window, protocols, 32, data)
    assert x11.XSendEvent(display, window, 0, 0, ctypes.byref(message))
    x11.XCloseDisplay(display)


main()
