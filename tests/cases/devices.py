"""QEMU's device options: transports, features taken away, small rings. The words of `soil run
--dry-run` are changed and started directly, as people with their own launcher do."""

import shlex

from harness.context import command
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


def network_device(words):
    """The index of the value that describes the virtio-net device."""
    for index, word in enumerate(words):
        if word.startswith("virtio-net"):
            return index
    raise AssertionError(f"no virtio-net device in: {' '.join(words)}")


def check(context, machine, option):
    tap = context.tap()
    dry = command(SERVICES, machine, options=["--dry-run"], tap=tap)
    words = shlex.split(context.run(*dry).stdout.replace("\\\n", " "))
    if option == "legacy":
        words = [word.replace("force-legacy=false", "force-legacy=true") for word in words]
    elif option:
        words[network_device(words)] += "," + option
    child = context.child(words)
    child.wait_line("ready")
    context.load("copy", tap.guest, 7, 3_000_000)
    for mode, port in (("out", 19), ("in", 9)) * 3:
        context.load(mode, tap.guest, port, 0.2)
    page = context.run("curl", "-fsS", "-m", "20", f"http://{tap.guest}/").stdout
    assert page == "x" * 1024, page


def register():
    for machine, options in OPTIONS.items():
        for option in options:
            test(f"{machine}-{option.replace(',', '+') or 'plain'}", limit=60)(
                lambda context, machine=machine, option=option: check(context, machine, option)
            )


register()
