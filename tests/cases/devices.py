"""QEMU's device options: transports, features taken away, small rings."""

import shlex
import socket

from cases.network import in_every_form
from harness.context import command, outcome
from harness.runner import test

SERVICES = "tests/programs/soil/services.exe"
SMALL = "rx_queue_size=256,tx_queue_size=256"
OPTIONS = {
    "microvm": ["", "packed=off", "mrg_rxbuf=off", "csum=off", "guest_csum=off", "host_tso4=off,guest_tso4=off",
                "indirect_desc=off", "event_idx=off", "event_idx=off,indirect_desc=off,mrg_rxbuf=off",
                "csum=off,guest_csum=off,mrg_rxbuf=off,gso=off", "legacy"],
    "q35": ["", "packed=off", "mrg_rxbuf=off", "csum=off", "guest_csum=off", "host_tso4=off,guest_tso4=off",
            "indirect_desc=off", "event_idx=off", SMALL, "vectors=0", "disable-legacy=on",
            "csum=off,guest_csum=off,mrg_rxbuf=off,gso=off"],
}  # fmt: skip


def words(option):
    """`soil run`'s options for a combination of device properties."""
    if option == "legacy":
        return ["--qemu-arg=-global", "--qemu-arg=virtio-mmio.force-legacy=true"]
    return [f"--device-option=net:{each}" for each in option.split(",") if each]


def check(context, machine, option):
    tap = context.tap()
    child = context.soil(SERVICES, machine, tap=tap, options=words(option))
    work(context, tap, child)


def work(context, tap, child):
    """Correct bytes both ways, bulk in both directions, HTTP."""
    child.wait_line("ready")
    context.load("copy", tap.guest, 7, 3_000_000)
    for mode, port in (("out", 19), ("in", 9)) * 3:
        context.load(mode, tap.guest, port, 0.2)
    page = context.run("curl", "-fsS", "-m", "20", f"http://{tap.guest}/").stdout
    assert page == "x" * 1024, page


@test()
def own_launcher(context):
    """The words of --dry-run, started without `soil`, boot the same machine."""
    for machine in OPTIONS:
        tap = context.tap()
        dry = context.run(*command(SERVICES, machine, options=["--dry-run"], tap=tap)).stdout
        work(context, tap, context.child(shlex.split(dry.replace("\\\n", " "))))


OFFLOADS = ("csum", "tso", "rxcsum", "lro", "mrg", "event", "indirect", "all")


@in_every_form(limit=120)
def offloads_switched_off(context, form):
    """SOIL_OFFLOAD takes each away at boot: results stay correct; without `tso` no frame is larger than a link's."""
    longest = {}
    for name in ("none", *OFFLOADS):
        tap = context.tap() if name in ("none", "all") else longest["tap"]
        longest["tap"] = tap
        peer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        value = "" if name == "none" else f"-{name}"
        child = context.soil(SERVICES, form, tap=tap, options=["--env", f"SOIL_OFFLOAD={value}"])
        child.wait_line("ready")
        peer.bind((tap.name, 0))
        work(context, tap, child)
        child.stop()
        peer.setblocking(False)
        longest[name] = 0
        try:
            while True:
                frame, address = peer.recvfrom(70_000)
                if address[2] != socket.PACKET_OUTGOING:
                    longest[name] = max(longest[name], len(frame))
        except BlockingIOError:
            peer.close()
    whole = {name: length <= 1514 for name, length in longest.items() if name != "tap"}
    assert whole == {**dict.fromkeys(whole, False), **dict.fromkeys(("csum", "tso", "all"), True)}, longest
    child = context.soil(SERVICES, form, tap=tap, options=["--env", "SOIL_OFFLOAD=-fast"])
    status, output = outcome(child, context)
    assert status != 0 and '"-fast": give a minus sign and one of csum, tso' in output, output


def register():
    for machine, options in OPTIONS.items():
        for option in options:
            test(f"{machine}-{option.replace(',', '+') or 'plain'}", limit=60)(
                lambda context, machine=machine, option=option: check(context, machine, option)
            )


register()
