"""QEMU's GDB stub: registers and memory of a machine that is stepped."""

from cases.machines import attach

from harness.console import PATIENCE


class Stub:
    """The stub at the path of a Unix-domain socket, of a machine for arm64 that is stopped."""

    PC = 32

    def __init__(self, path):
        self.wire = attach(path)
        self.wire.settimeout(PATIENCE)

    def byte(self):
        byte = self.wire.recv(1)
        assert byte, "the stub has gone"
        return byte

    def ask(self, text):
        """The answer to a packet."""
        self.wire.sendall(f"${text}#{sum(text.encode()) % 256:02x}".encode())
        while self.byte() != b"$":
            pass
        answer = b""
        while (byte := self.byte()) != b"#":
            answer += byte
        for _ in range(2):
            self.byte()  # the sum
        self.wire.sendall(b"+")
        return answer.decode()

    def register(self, number):
        return int.from_bytes(bytes.fromhex(self.ask(f"p{number:x}")), "little")

    def set_register(self, number, value):
        assert self.ask(f"P{number:x}={value.to_bytes(8, 'little').hex()}") == "OK"

    def instruction(self):
        """The next instruction."""
        return int.from_bytes(bytes.fromhex(self.ask(f"m{self.register(self.PC):x},4")), "little")

    def set_instruction(self, instruction):
        """Replaces it."""
        word = instruction.to_bytes(4, "little").hex()
        assert self.ask(f"M{self.register(self.PC):x},4:{word}") == "OK"

    def step(self):
        assert self.ask("s")[0] in "ST"

    def step_to(self, instruction, most=200):
        """Steps to this instruction, which isn't executed."""
        for _ in range(most):
            if self.instruction() == instruction:
                return
            self.step()
        raise AssertionError(f"{instruction:#x} isn't among the next {most} instructions")

    def leave(self):
        """Lets the machine run without the stub."""
        text = "D"
        self.wire.sendall(f"${text}#{sum(text.encode()) % 256:02x}".encode())
        self.wire.close()
