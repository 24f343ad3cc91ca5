"""Linux's TCP and iperf3 as peers, in both directions: over bad links, and in long runs compared
with Linux against itself."""

import json
import re
import shutil

from cases.network import in_every_form, load_words, services
from harness.context import Skip
from harness.relay import BadLink, source


IPERF_BYTES = 4 << 20


def rates(context, tap, link, seconds, together):
    """Mbit/s of Soil sending, Soil receiving, and Linux sending over the same link."""
    port = source(link.near)
    runs = [("out", tap.guest, 19), ("in", tap.guest, 9), ("out", link.near, port)]
    commands = [link.inside + load_words(mode, host, port, seconds) for mode, host, port in runs]

    def rate(child):
        assert child.finish(context.remaining()) == 0, child.text
        return float(re.search(r"gbps=([0-9.]+)", child.text)[1]) * 1000

    if together:
        return list(map(rate, [context.child(command) for command in commands]))
    return [rate(context.child(command)) for command in commands]


def over(context, form, seconds, least, *words):
    """Bytes arrive unchanged, both ways at once; long runs reach at least the share `least` of
    Linux's own speed."""
    _, tap = services(context, form)
    link = BadLink(context, tap, *words)
    copies = [
        context.child(link.inside + load_words("copy", tap.guest, 7, 400_000)) for _ in range(2)
    ]
    for copy in copies:
        assert copy.finish(context.remaining()) == 0, f"{copy.text}\n{link.statistics()}"
    # On a link with a rate the directions would compete.
    together = not any(word.startswith("rate") for word in words)
    if not context.long:
        return
    report = " ".join(words)
    # Losses are random, and so is other load on the host: one of three runs must be as fast as
    # Linux.
    for _ in range(3):
        soil, back, linux = rates(context, tap, link, seconds, together)
        report += f"\nSoil to Linux {soil:.2f}, Linux to Soil {back:.2f}, Linux to Linux {linux:.2f} Mbit/s"
        enough = soil > least * linux and back > least * linux
        if enough:
            break
    report += f"\n{link.statistics()}"
    print(report)
    assert enough, report


@in_every_form(limit=90, forms=("process", "microvm"))
def one_percent_of_loss(context, form):
    """1 % of loss and 50 ms."""
    over(context, form, 10, 0.4, "delay=25", "loss=10000")


@in_every_form(limit=90, forms=("process",))
def reordered(context, form):
    """2 % of the frames are reordered by 3 ms, some are duplicated; 50 ms and 20 Mbit/s."""
    over(
        context, form, 6, 0.4,
        "delay=25", "reorder=20000", "reorder-delay=3", "duplicate=5000", "rate=20", "queue=150000",
    )  # fmt: skip


@in_every_form(limit=600, long=True)
def losses(context, form):
    """0.1, 1 and 5 % of loss, and bursts, for longer."""
    for words in (
        ["delay=25", "loss=1000", "rate=100", "queue=625000"],
        ["delay=25", "loss=10000"],
        ["delay=25", "loss=50000"],
        ["delay=25", "burst-enter=3000", "burst-leave=300000"],
        ["delay=5", "jitter=4", "loss=1000", "corrupt=1000"],
    ):
        over(context, form, 40, 0.6, *words)


@in_every_form(limit=90, forms=("process", "microvm"))
def iperf3(context, form):
    """iperf3's own client: one stream and four, in both directions, directly on the TAP."""
    program = shutil.which("iperf3")
    if not program:
        raise Skip("iperf3 is not installed; run: apt-get install iperf3")
    tap = context.tap()
    child = context.soil("tests/programs/soil/iperf_server.exe", form, tap=tap)
    child.wait_line("ready")
    for words in ([], ["-R"], ["-P", "4"], ["-P", "4", "-R"]):
        done = context.run(
            program, "-c", tap.guest, "-n", str(IPERF_BYTES), "-J", *words, check=False
        )
        found = json.loads(done.stdout)
        assert done.returncode == 0 and "error" not in found, f"{words}: {done.stdout}{child.text}"
        assert found["end"]["sum_received"]["bytes"] >= IPERF_BYTES, done.stdout
