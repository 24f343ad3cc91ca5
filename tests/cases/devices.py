"""QEMU's device options: transports, disabled features, small rings."""

import socket
import threading
import time

from cases.network import in_every_form
from harness.console import PATIENCE
from harness.context import ARCH, launcher, outcome
from harness.runner import test
from harness.tap import hold_more

SERVICES = "tests/programs/soil/services.exe"
# As Google's and Alibaba's older machine types: I/O ports, and queues of the device's size.
LEGACY = "disable-modern=on,disable-legacy=off"
LEGACIES = (LEGACY, f"{LEGACY},vectors=0", f"{LEGACY},rx_queue_size=1024",
            f"{LEGACY},mrg_rxbuf=off,indirect_desc=off,event_idx=off")  # fmt: skip
SMALL = "rx_queue_size=256,tx_queue_size=256"
OPTIONS = {
    "microvm": ["", "packed=off", "mrg_rxbuf=off", "csum=off", "guest_csum=off", "host_tso4=off,guest_tso4=off",
                "indirect_desc=off", "event_idx=off", "event_idx=off,indirect_desc=off,mrg_rxbuf=off",
                "csum=off,guest_csum=off,mrg_rxbuf=off,gso=off", "legacy",
                # As Firecracker's, and with even less.
                "indirect_desc=off,ctrl_vq=off,status=off",
                "indirect_desc=off,mrg_rxbuf=off,ctrl_vq=off"],
    "q35": ["", "packed=off", "mrg_rxbuf=off", "csum=off", "guest_csum=off", "host_tso4=off,guest_tso4=off",
            "indirect_desc=off", "event_idx=off", SMALL, "vectors=0", "disable-legacy=on",
            "csum=off,guest_csum=off,mrg_rxbuf=off,gso=off", "indirect_desc=off,mrg_rxbuf=off,ctrl_vq=off",
            *LEGACIES],
    "pc": ["", "vectors=0", "disable-legacy=off", *LEGACIES],
}  # fmt: skip
if ARCH:
    OPTIONS = {"virt": OPTIONS["microvm"]}


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
    """Bytes arrive unchanged both ways, in bulk in both directions, and over HTTP."""
    child.wait_line("ready")
    context.load("copy", tap.guest, 7, 3_000_000)
    for mode, port in (("out", 19), ("in", 9)) * 3:
        context.load(mode, tap.guest, port, 0.2)
    page = context.run("curl", "-fsS", f"http://{tap.guest}/").stdout
    assert page == "x" * 1024, page


@test()
def own_launcher(context):
    """The command of --dry-run boots the same machine without `soil`."""
    for machine in OPTIONS:
        tap = context.tap()
        # They name files relative to their working directory.
        words = launcher(context, SERVICES, machine, tap=tap)
        work(context, tap, context.child(words, cwd=context.directory))


OFFLOADS = ("csum", "tso", "rxcsum", "lro", "mrg", "event", "indirect", "all")


class Longest:
    """The length of the longest frame from the guest."""

    def __init__(self, tap):
        self.length = 0
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        hold_more(self.socket)
        self.socket.bind((tap.name, 3))  # ETH_P_ALL
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        buffer = bytearray(70_000)
        while True:
            try:
                length, address = self.socket.recvfrom_into(buffer)
            except OSError:
                return  # The guest has ended, and the link with it.
            if address[2] != socket.PACKET_OUTGOING:
                self.length = max(self.length, length)


@in_every_form(limit=120)
def offloads_switched_off(context, form):
    """SOIL_OFFLOAD disables each offload at boot: results stay correct; without `tso` no frame
    exceeds the link's MTU."""
    tap = context.tap()
    for name in ("", *OFFLOADS):
        value = f"-{name}" if name else ""
        child = context.soil(SERVICES, form, tap=tap, options=["--env", f"SOIL_OFFLOAD={value}"])
        child.wait_line("ready")
        longest = Longest(tap)
        work(context, tap, child)
        small = name in ("csum", "tso", "all")
        until = time.monotonic() + PATIENCE
        while not small and longest.length <= 1514 and time.monotonic() < until:
            # The packet socket may have missed them.
            context.load("out", tap.guest, 19, 0.2)
        child.stop()
        assert small == (longest.length <= 1514), f"{value}: {longest.length} bytes"
    child = context.soil(SERVICES, form, tap=tap, options=["--env", "SOIL_OFFLOAD=-fast"])
    status, output = outcome(child, context)
    assert status != 0 and '"-fast": give a minus sign and one of csum, tso' in output, output


def register():
    for machine, options in OPTIONS.items():
        for option in options:
            label = f"{machine}-{option.replace(',', '+') or 'plain'}"
            test(label, shows="HTTP and echoes over a network card with these options.")(
                lambda context, machine=machine, option=option: check(context, machine, option)
            )


register()
