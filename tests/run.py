#!/usr/bin/env python3
"""Runs the end-to-end tests; see tests/README.md.

Usage: tests/run.py [--long] [--list] [--jobs N] [WORD…]: only the tests whose name contains a WORD.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import runner  # noqa: E402

if __name__ == "__main__":
    sys.exit(runner.main())
