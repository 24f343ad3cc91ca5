"""`soil run --vmm`: Firecracker and Cloud Hypervisor, by programs that stand in for them (neither
runs without KVM): one that plays a console, and QEMU without the devices that are QEMU's."""

import json
import os
import signal
import subprocess

from harness.console import PATIENCE
from harness.context import ROOT, SOIL, clean, executable
from harness.runner import test

STAND_INS = os.path.join(ROOT, "tests", "stand_ins")
VMMS = {"firecracker": "Firecracker", "cloud-hypervisor": "Cloud Hypervisor"}
FILES = "tests/programs/unmodified/files.exe"
# What Firecracker's API description (src/firecracker/swagger/firecracker.yaml, 1.16) requires of
# and allows in the parts of a configuration, for virtio-blk disks.
DESCRIPTION = {
    "boot-source": ({"kernel_image_path"}, {"boot_args", "initrd_path"}),
    "machine-config": (
        {"mem_size_mib", "vcpu_count"},
        {"cpu_template", "smt", "track_dirty_pages", "huge_pages"},
    ),
    "drives": (
        {"drive_id", "is_root_device", "is_read_only", "path_on_host"},
        {"partuuid", "cache_type", "rate_limiter", "io_engine"},
    ),
    "network-interfaces": (
        {"host_dev_name", "iface_id"},
        {"guest_mac", "mtu", "rx_rate_limiter", "tx_rate_limiter"},
    ),
    "entropy": (set(), {"rate_limiter"}),
}


def environment(**others):
    """The stand-ins come first on PATH."""
    return {"PATH": STAND_INS + os.pathsep + os.environ["PATH"], **others}


def words(vmm, program, *arguments, options=()):
    command = [SOIL, "run", executable(program, "microvm"), "--vmm", vmm, *options]
    return [*command, "--", *arguments] if arguments else command


def run(context, vmm, program, *arguments, options=(), check=False, **others):
    return context.run(
        *words(vmm, program, *arguments, options=options),
        check=check,
        env={**os.environ, **environment(**others)},
    )


def check_description(configuration):
    for part, found in configuration.items():
        required, allowed = DESCRIPTION[part]
        for names in map(set, found if isinstance(found, list) else [found]):
            assert required <= names <= required | allowed, f"{part}: {names}"


@test()
def vmms_get_the_options(context):
    """Both VMMs get the machine, its disks and its networks; `--dry-run` prints the same. A process
    and an option that a VMM lacks are refused by name."""
    disk, record = context.path("a,b.img"), context.path("record.json")
    context.run(SOIL, "disk", "make", disk, "--size", "1M", "--fs", "fat")
    tap = context.tap()
    options = ["--mem", "48M", "--disk", f"data={disk},ro", "--net", f"tap={tap.name}"]
    options += ["--mac", "52:54:00:00:00:01", "--ip", tap.guest_cidr, "--env", "A=x y"]
    for vmm in VMMS:
        console = "ready\nsoil: status 3\n"
        others = {"STAND_IN_RECORD": record, "STAND_IN_CONSOLE": console}
        done = run(context, vmm, FILES, "a -- b", options=options, **others)
        assert done.returncode == 3 and clean(done.stdout) == console, f"{vmm}: {done}"
        shown = run(context, vmm, FILES, "a -- b", options=[*options, "--dry-run"], check=True)
        with open(record, encoding="utf-8") as file:
            found = json.load(file)
        if vmm == "firecracker":
            check_description(found["configuration"])
            source = found["configuration"]["boot-source"]
            assert "SOIL_DISKS=data " in source["boot_args"], source
            # The console is another one.
            source["boot_args"] = source["boot_args"].replace("SOIL_CONSOLE=pipe ", "")
            assert json.loads(shown.stdout) == found["configuration"], shown.stdout
            drive = found["configuration"]["drives"][0]
            assert drive["is_read_only"] and drive["cache_type"] == "Writeback", drive
            assert found["log"] == ["/dev/stderr", "Error"], found
            line = source["boot_args"]
        else:
            got = found["options"]
            assert found["terminal"] and got["memory"] == "size=48M", found
            assert got["net"] == [f"tap={tap.name},mac=52:54:00:00:00:01"], found
            assert got["disk"][0].startswith(f'path="{disk}",image_type=raw,readonly=on'), found
            assert got["disk"][0].endswith(",serial=data"), found
            line = got["cmdline"]
            assert "SOIL_DISKS" not in line and "--console off" in shown.stdout, shown.stdout
        assert line.endswith(r'-- "a \x2d- b"') and '"A=x y"' in line, line
    for form, option, message in (
        ("process", "--net=none", "--vmm is for images"),
        ("microvm", "--net=user", "--net user: Firecracker connects TAP devices only"),
        ("microvm", "--screenshot=a.png", "--screenshot: Firecracker has no displays"),
        ("microvm", "--dry-run=libvirt", "--dry-run=libvirt: Firecracker isn't started by"),
    ):
        command = [SOIL, "run", executable(FILES, form), "--vmm=firecracker", option]
        done = context.run(*command, check=False)
        assert done.returncode == 125 and message in done.stderr, done


@test()
def a_vmm_that_fails_says_why(context):
    """Without the VMM, or with one that fails before or after the machine's start, `soil run` gives
    its status and the VMM's own words; a console without a status is no success."""
    for vmm, name in VMMS.items():
        command = words(vmm, "exit_status", "0", options=["--net", "none"])
        done = context.run(*command, check=False)
        assert done.returncode == 125, done
        assert f"soil: {vmm}: not on this machine: install it from https" in done.stderr, done
        error = {
            "firecracker": "2026-11-25T10:00:00.0 [anonymous-instance:main] no /dev/kvm\n"
            "Error: RunWithApi(Kvm)\n",
            "cloud-hypervisor": "Error: Cloud Hypervisor exited with the following chain of "
            "errors:\n  0: VM\n  1: no /dev/kvm\n",
        }[vmm]
        for others, status, message in (
            ({"CONSOLE": "", "STATUS": "1", "ERROR": error}, 125, f"{name} did not start: no"),
            ({"CONSOLE": "a\n", "STATUS": "1"}, 126, f"{name} failed with status 1"),
            ({"CONSOLE": "a\n", "STATUS": "1", "ERROR": error}, 126, f"soil: {name}: no /dev/kvm"),
            ({"CONSOLE": "soil: status 3\nmore\n"}, 126, "doesn't end with 'soil: status N'"),
            ({"CONSOLE": "\x10CSOIL-EXIT 200\n\x10Oa\n"}, 200, ""),
        ):
            others = {f"STAND_IN_{variable}": value for variable, value in others.items()}
            done = run(context, vmm, "exit_status", "0", options=["--net", "none"], **others)
            assert done.returncode == status and message in done.stderr, f"{vmm} {others}: {done}"


@test(limit=240)
def images_run_in_vmms(context):
    """Without QEMU's own devices an image passes its arguments, input, outputs and status on; it
    finds its disk by name, answers on its TAP, and a crash is reported with names."""
    for vmm in VMMS:
        none = ["--net", "none"]
        done = run(context, vmm, "exit_status", "3", options=none)
        assert (done.returncode, clean(done.stdout)) == (3, "leaving with 3\nat_exit runs\n"), done
        command = words(vmm, "read_lines", options=none)
        done = subprocess.run(
            command,
            input="a\n\x10b\nend\n",
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            env={**os.environ, **environment()},
        )
        lines = "ready\ngot [a]\ngot [\x10b]\n2 lines\n"
        assert (done.returncode, clean(done.stdout)) == (0, lines), f"{vmm}: {done}"
        done = run(context, vmm, "aborts", options=none)
        crash = "crashed: the program ended itself by SIGABRT"
        assert done.returncode == 134 and crash in done.stderr, f"{vmm}: {done}"
        assert "test_abort" in done.stderr, f"{vmm}: {done}"
        disk = context.path(f"{vmm}.img")
        context.run(SOIL, "disk", "make", disk, "--size", "16M", "--fs", "ext4")
        options = [*none, "--disk", f"data={disk}"]
        child = context.child(
            words(vmm, FILES, "leave", "/data/left", options=options), env=environment()
        )
        child.wait_line("written")
        child.signal(signal.SIGTERM)
        status = child.finish(context.remaining())
        assert status == 143 and "did not stop" not in child.text, f"{vmm}: {child.text}"
        assert context.run("debugfs", "-R", "cat left", disk).stdout == "/data/left"
        tap = context.tap()
        options = ["--net", f"tap={tap.name}", "--ip", tap.guest_cidr, "--timeout", "60"]
        child = context.child(
            words(vmm, "examples/echo/main.exe", options=options), env=environment()
        )
        child.wait_line("listen")
        context.load("copy", tap.guest, 7, 100_000)


@test()
def a_vmm_stops_its_machine(context):
    """SIGTERM to `soil run` reaches the program's handler by the VMM's API: Ctrl-Alt-Del or the power
    button."""
    for vmm in VMMS:
        command = words(vmm, "signals", "term", options=["--net", "none"])
        child = context.child(command, env=environment())
        child.wait_line("ready")
        child.signal(signal.SIGTERM)
        status = child.finish(context.remaining())
        output = clean(child.text)
        assert "asked to stop\nthe end\n" in output and status == 7, f"{vmm}: {status}\n{output}"
