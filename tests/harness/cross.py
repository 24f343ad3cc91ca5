"""The toolchain for images of another processor."""

import os
import subprocess

from harness.context import ROOT


def environment():
    """This process' variables and those by which findlib and dune find the toolchain."""
    script = os.path.join(ROOT, "tools", "setup", "cross.sh")
    lines = subprocess.run([script, "environment"], capture_output=True, text=True, check=True)
    name, value = lines.stdout.strip().removeprefix("export ").split("=", 1)
    return {**os.environ, name: value.strip("'")}
