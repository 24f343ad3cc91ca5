"""Slow folders of the host: only the calling task waits for them."""

import time

from cases.system_calls import need_io_uring, need_strace
from harness.console import PATIENCE
from harness.context import executable
from harness.runner import test
from harness.slow_folder import FSYNC, LOOKUP, OPEN, READ, WRITE, SlowFolder

PROGRAM = "tests/programs/soil/slow_folder.exe"
# Lines that another task prints before an answer.
TICKS = 5


def said(child, start):
    return sum(line.startswith(start) for _, line in child.lines)


def slow(context, ring):
    """The folder answers each request only after another task has run for a while, and a sync only
    after another has read."""
    env = {"SOIL_MOUNT": f"/data=host:{context.path('folder')}"}
    forbidden = (
        []
        if ring
        else ["strace", "-f", "-o", "/dev/null", "-e", "inject=io_uring_setup:error=EPERM"]
    )
    with SlowFolder(
        context.path("folder"),
        b"contents",
        held=lambda opcode: opcode in (LOOKUP, OPEN, READ, WRITE, FSYNC),
    ) as folder:
        child = context.child([*forbidden, executable(PROGRAM, "process")], env=env)
        until, since, answered = time.monotonic() + PATIENCE, {}, set()
        while said(child, "done") == 0:
            assert time.monotonic() < until, (
                f"{folder.requests} is under way, and others don't go on: {child.text}"
            )
            folder.scan(0.01)
            child.drain(0.01)
            ticks = said(child, "tick")
            for request in list(folder.requests):
                opcode, unique, *_ = request
                if ticks < since.setdefault(unique, ticks) + TICKS:
                    continue
                if opcode != FSYNC or said(child, "read meanwhile"):
                    answered.add(opcode)
                    folder.answer(request)
                    until = time.monotonic() + PATIENCE
        child.finish()
        assert answered == {LOOKUP, OPEN, READ, WRITE, FSYNC}, answered
    lines = [line for _, line in child.lines if not line.startswith("tick")]
    assert lines == ["read: contents", "written", "read meanwhile: changeds", "synced", "done"], (
        lines
    )


@test(limit=120)
def slow_folder(context):
    """With io_uring."""
    need_io_uring()
    slow(context, ring=True)


@test(limit=120)
def slow_folder_without_a_ring(context):
    """With threads, where the kernel forbids io_uring, as containers do."""
    need_strace(context)
    slow(context, ring=False)
