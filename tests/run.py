#!/usr/bin/env python3
"""Runs the end-to-end tests; see tests/README.md.

Usage: tests/run.py [--long] [--list] [--jobs N] [WORD…]: only the tests whose name contains a WORD.
"""

import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import runner  # noqa: E402

if __name__ == "__main__":
    # A shell without job control starts background jobs with these two signals ignored, and `soil
    # run` would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    sys.exit(runner.main())
