"""Servers without a line of Soil whose memory strangers use up: the machine goes on, and the server
serves once its clients have gone."""

from harness.context import MACHINES
from harness.runner import test

from cases.memory import WAYS, attack, honest, post

SERVERS = {
    "threads": "tests/programs/unmodified/uploads.exe",
    "lwt": "tests/programs/services/uploads.exe",
    "cohttp": "tests/programs/services/http_server.exe",
}
PORT = "8000"
# Connections of a way to hold memory: several times what the machine has memory for.
NUMBERS = {"heads": 1500, "posts": 1000, "uploads": 200, "whole-uploads": 70}

# Run without --long, with 64 MiB: live memory and garbage.
SHORT = (("lwt", "uploads"), ("threads", "whole-uploads"))


def serves(context, child, tap):
    """The server answers, also a large request."""
    body = b"x" * 500_000
    large = post(b"/up", len(body), b"Connection: close\r\n", body)
    answers = [honest(tap), honest(tap, large, b"500000"), honest(tap)]
    child.drain(0.05)
    for word in ("Fatal", "panic", "allocation"):
        assert word not in child.text, child.text
    context.bound("tries of honest clients", max(tries for tries, _ in answers), 20)


def used_up(context, server, way, megabytes):
    tap = context.tap()
    options = ["--mem", f"{megabytes}M"]
    child = context.soil(SERVERS[server], MACHINES[0], PORT, tap=tap, options=options)
    child.wait_line("ready")
    tap.wait_up()
    honest(tap)
    peers = attack(tap, *WAYS[way], NUMBERS[way] * max(1, megabytes // 64))
    for peer in peers:
        peer.close()
    serves(context, child, tap)


# With 32 MiB Cohttp's server, the largest program, doesn't always answer after an attack.
SIZES = {"threads": (32, 64, 256), "lwt": (32, 64, 256), "cohttp": (64, 256)}
# With 256 MiB these hold hundreds of uploads when memory is short, and may end by Out_of_memory
# where Lwt catches nothing (docs/unix.md).
MAY_END = (("lwt", "uploads"), ("cohttp", "uploads"), ("cohttp", "whole-uploads"))

for server, sizes in SIZES.items():
    for way in NUMBERS:
        for megabytes in sizes:
            if megabytes == 256 and (server, way) in MAY_END:
                continue
            short = megabytes == 64 and (server, way) in SHORT

            @test(name=f"{server}-{way}-{megabytes}", limit=240, long=not short)
            def unlimited(context, server=server, way=way, megabytes=megabytes):
                """A server that limits nothing goes on, and serves when the others have gone."""
                used_up(context, server, way, megabytes)
