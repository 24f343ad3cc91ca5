"""The shim for KVM's instruction emulator (tests/assist/assist.c), by itself."""

import os

from harness import kvm
from harness.context import Skip
from harness.runner import test


@test()
def instructions(context):
    """Each class of instructions that the shim carries out answers as the processor does:
    registers, flags, memory, exceptions with their error codes and addresses, operands over the
    borders of pages, RSP as an operand."""
    if reason := kvm.missing():
        raise Skip(reason)
    if kvm.probe()[0] != "assisted":
        raise Skip("KVM runs guests natively here")
    done = context.run(kvm.CHECK, 20, check=False, env={**os.environ, "LD_PRELOAD": kvm.LIBRARY})
    assert done.returncode == 0, done.stdout + done.stderr
