"""The toolchain for images of another processor."""

import os
import subprocess

from harness.context import ROOT


def environment():
    """This process' variables and those by which findlib and dune find the toolchain."""
    script = os.path.join(ROOT, "tools", "setup", "cross.sh")
    # Commands, not values: with Debian's rustc they also change PATH.
    words = ["sh", "-ec", 'set=$("$0" environment); eval "$set"; exec env -0', script]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in text.split("\0") if line)
