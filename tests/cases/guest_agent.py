"""QEMU's guest agent in images: its protocol by a socket, freezes of volumes, stops."""

import json
import shutil
import socket
import subprocess
import time

from cases.network import machine_pid
from cases.tasks import fat_disk
from harness.console import PATIENCE, falls_asleep
from harness.context import MACHINES, TRANSPORT, clean
from harness.qmp import Monitor
from harness.runner import test

PROGRAM = "tests/programs/storage/freezes.exe"
MAX_LINE = 4096


class Agent:
    """A host's end of the port."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self.socket.connect(path)
                break
            except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
                # The last: QEMU hasn't accepted the host before.
                assert time.monotonic() < until, "QEMU doesn't open the port"
                time.sleep(0.02)
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, text):
        self.socket.sendall(text)

    def read(self):
        return json.loads(self.file.readline())

    def request(self, command, **arguments):
        self.send(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")

    def ask(self, command, **arguments):
        """What the agent returns; an error fails the test."""
        self.request(command, **arguments)
        answer = self.read()
        assert "return" in answer, f"{command}: {answer}"
        return answer["return"]

    def error(self, line):
        """The class and description of the error that a line gives."""
        self.send(line)
        answer = self.read()
        assert "error" in answer, f"{line}: {answer}"
        return answer["error"]["class"], answer["error"]["desc"]


class Machine:
    """A machine with the agent's port, whose program changes its volumes."""

    def __init__(self, context, form, tap=None, words=()):
        self.context, self.form = context, form
        self.socket = context.path(f"agent-{form}")
        self.ext4 = context.memory_path(f"{form}.ext4")
        with open(self.ext4, "wb") as file:
            file.truncate(24 << 20)
        context.run("mkfs.ext4", "-q", self.ext4)
        self.fat = fat_disk(context, context.memory_path(f"{form}.fat"), 24 << 20)
        qemu = [
            *("-chardev", f"socket,path={self.socket},server=on,wait=off,id=agent"),
            *("-device", f"virtio-serial-{TRANSPORT[form]}"),
            *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
            *words,
        ]
        options = [word for each in qemu for word in ("--qemu-arg", each)]
        options += ["--disk", f"data={self.ext4}", "--disk", f"other={self.fat}"]
        options += ["--mount", "/data=ext4:data", "--mount", "/other=fat:other"]
        arguments = ["net"] if tap else []
        self.child = context.soil(
            PROGRAM, form, *arguments, options=options, tap=tap, stdin=subprocess.PIPE
        )
        self.child.wait_line("working")

    def agent(self):
        return Agent(self.socket)

    def answer(self, letter):
        """The program's answer to a letter on its console."""
        after = len(self.child.lines)
        self.child.process.stdin.write(letter.encode())
        self.child.process.stdin.flush()
        words = {"c": "changes ", "r": "read ", "t": "time "}[letter]
        _, line = self.child.wait_line(words, after=after)
        return line.removeprefix(words).rstrip(".")

    def changes(self):
        return int(self.answer("c"))

    def wait_changes(self):
        """Waits until the program has changed something more, in all its tasks."""
        enough = self.changes() + 30
        until = time.monotonic() + PATIENCE
        while self.changes() < enough:
            assert time.monotonic() < until, "the program changes nothing"
            time.sleep(0.05)

    def copies(self, name):
        """Copies of both disks."""
        made = [self.context.memory_path(f"{self.form}-{name}-{each}") for each in ("ext4", "fat")]
        shutil.copyfile(self.ext4, made[0])
        shutil.copyfile(self.fat, made[1])
        return made

    def check(self, ext4, fat):
        self.context.run("e2fsck", "-fn", ext4)
        self.context.run("fsck.fat", "-n", fat)


def contents(path):
    with open(path, "rb") as file:
        return file.read()


@test(limit=120)
def the_agent_answers(context):
    """The agent answers a host by QEMU's protocol, reports errors for what it can't parse, and
    resets its parser at 0xFF; the addresses are the network's, the time can be set, and the machine
    sleeps afterwards."""
    for form in MACHINES:
        tap = context.tap()
        # The clock of the machine's chip begins at 2,000,000,000 seconds since 1970.
        machine = Machine(context, form, tap, ["-rtc", "base=2033-05-18T03:33:20"])
        agent = machine.agent()
        assert agent.ask("guest-sync", id=7) == 7
        assert agent.ask("guest-ping") == {}
        info = agent.ask("guest-info")
        names = [each["name"] for each in info["supported_commands"]]
        assert "guest-fsfreeze-freeze" in names and "guest-exec" not in names, names
        assert agent.ask("guest-get-osinfo")["id"] == "soil"
        interfaces = agent.ask("guest-network-get-interfaces")
        assert len(interfaces) == 1 and len(interfaces[0]["hardware-address"]) == 17, interfaces
        found = {each["ip-address"]: each["prefix"] for each in interfaces[0]["ip-addresses"]}
        assert found[tap.guest] == 24, interfaces

        # Half a line that the delimiter drops; a response that it precedes.
        agent.send(b'{"execute": "gue\xff')
        sync = {"execute": "guest-sync-delimited", "arguments": {"id": 99}}
        agent.send(json.dumps(sync).encode() + b"\n")
        assert agent.file.readline() == b'\xff{"return":99}\n'
        assert agent.error(b"{nonsense\n")[0] == "GenericError"
        assert agent.error(b'{"execute": "guest-exec"}\n')[0] == "CommandNotFound"
        assert "'id'" in agent.error(b'{"execute": "guest-sync"}\n')[1]
        kind, text = agent.error(b"[" * (10 * MAX_LINE) + b"\n")
        assert kind == "GenericError" and str(MAX_LINE) in text, text
        # Several requests at once are answered in order.
        lines = [{"execute": "guest-ping", "id": number} for number in range(100)]
        agent.send(b"".join(json.dumps(each).encode() + b"\n" for each in lines))
        assert [agent.read()["id"] for _ in lines] == list(range(100))

        agent.ask("guest-set-time", time=4_000_000_000 * 10**9)
        assert 4_000_000_000 <= int(machine.answer("t")) < 4_000_100_000
        assert agent.ask("guest-get-time") // 10**9 >= 4_000_000_000
        agent.ask("guest-set-time")
        assert 2_000_000_000 <= int(machine.answer("t")) < 2_000_100_000
        request = {"execute": "guest-set-time", "arguments": {"time": -1}}
        assert "1970" in agent.error(json.dumps(request).encode() + b"\n")[1]
        assert falls_asleep(machine_pid(machine.child)), form
        machine.child.stop()


@test(limit=120)
def a_new_host_gets_whole_answers(context):
    """A host that leaves without reading leaves the next one no part of an answer, and answers to
    few of its requests only; after those the new host's own answer follows."""
    machine = Machine(context, "q35")
    for turn in range(5):
        agent = machine.agent()
        # At once: Linux counts each send against the socket's buffer with hundreds of bytes.
        lines = [b'{"execute": "guest-info", "id": %d}\n' % each for each in range(50 * turn)]
        agent.send(b"".join(lines))
        agent.close()
    agent = machine.agent()
    # Ends the line that the last host left.
    agent.send(b'\n\xff{"execute": "guest-ping", "id": "new"}\n')
    old = 0
    while (answer := agent.read()).get("id") != "new":
        assert "return" in answer or "error" in answer, answer
        old += 1
    assert old <= 2 * MAX_LINE // len('{"execute": "guest-info", "id": 1}'), old
    machine.child.stop()


def freeze_rounds(context, form, rounds):
    machine = Machine(context, form)
    agent = machine.agent()
    for turn in range(rounds):
        machine.wait_changes()
        assert agent.ask("guest-fsfreeze-status") == "thawed"
        assert agent.ask("guest-fsfreeze-freeze") == 2
        first = machine.copies("first")
        before = machine.changes()
        machine.check(*first)
        assert machine.answer("r") == "true"
        assert agent.ask("guest-fsfreeze-status") == "frozen"
        kind, text = agent.error(b'{"execute": "guest-fsfreeze-freeze"}\n')
        assert kind == "CommandNotFound" and "frozen" in text, text
        second = machine.copies("second")
        for one, other in zip(first, second):
            assert contents(one) == contents(other), f"{one}: written while frozen"
        assert machine.changes() == before, f"round {turn}: a change while frozen"
        assert agent.ask("guest-fsfreeze-thaw") == 2
        assert agent.ask("guest-fsfreeze-thaw") == 0
    machine.wait_changes()
    machine.child.signal(15)
    assert machine.child.finish() == 143, machine.child.text
    assert "at_exit runs" in machine.child.text, machine.child.text
    machine.check(machine.ext4, machine.fat)


@test(limit=150)
def a_copy_of_frozen_volumes_is_clean(context):
    """Three times, while tasks write without pause: copies of frozen ext4 and FAT volumes are clean
    for e2fsck and fsck.fat, nothing is written until the thaw, and reads work meanwhile."""
    for form in MACHINES:
        freeze_rounds(context, form, 3)


@test(limit=600, long=True)
def fifty_copies_of_frozen_volumes_are_clean(context):
    """The same fifty times."""
    freeze_rounds(context, "q35", 50)


@test(limit=120)
def a_freeze_outlives_its_host(context):
    """Volumes stay frozen when the host closes the port, as in `qemu-ga`, and another host thaws
    them; a program that is asked to stop while frozen thaws them by itself, and loses nothing."""
    machine = Machine(context, "q35")
    agent = machine.agent()
    assert agent.ask("guest-fsfreeze-freeze") == 2
    agent.close()
    before = machine.changes()
    agent = machine.agent()
    assert agent.ask("guest-fsfreeze-status") == "frozen"
    assert machine.changes() == before
    assert agent.ask("guest-fsfreeze-thaw") == 2
    machine.wait_changes()
    assert agent.ask("guest-fsfreeze-freeze") == 2
    machine.child.signal(15)
    assert machine.child.finish() == 143, machine.child.text
    assert "at_exit runs" in machine.child.text
    machine.check(machine.ext4, machine.fat)


@test(limit=120)
def the_agent_stops_the_program(context):
    """`guest-shutdown` cancels the tasks and runs at_exit, as the power button does; then the
    machine is powered off, reset or halted."""
    for form, mode, reason in (
        (MACHINES[0], "powerdown", None),
        (MACHINES[-1], None, None),
        (MACHINES[-1], "reboot", "guest-reset"),
        (MACHINES[-1], "halt", "halt"),
    ):
        path = context.path(f"qmp-{form}-{mode}")
        machine = Machine(context, form, words=("-qmp", f"unix:{path},server=on,wait=off"))
        monitor = Monitor(path)
        agent = machine.agent()
        # No answer follows.
        agent.request("guest-shutdown", **({"mode": mode} if mode else {}))
        machine.child.wait_line("at_exit runs")
        if reason == "halt":
            assert falls_asleep(machine_pid(machine.child))
            assert monitor.ask("query-status")["status"] == "running"
            monitor.ask("quit")
        elif reason:
            while line := monitor.file.readline():
                event = json.loads(line)
                if event.get("event") == "SHUTDOWN":
                    assert event["data"]["reason"] == reason, event
                    break
            else:
                raise AssertionError("no SHUTDOWN event")
        assert machine.child.finish() == 143, clean(machine.child.text)
        machine.check(machine.ext4, machine.fat)
