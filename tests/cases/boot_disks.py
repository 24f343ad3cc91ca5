"""Disks of `soil image`: booted, used, stopped, changed; and what the command refuses."""

import contextlib
import filecmp
import http.client
import itertools
import os
import shutil
import signal
import struct
import subprocess
import time

from harness.console import PATIENCE
from harness.context import SOIL, Skip, clean, executable
from harness.runner import test

from cases.disk_images import tools
from cases.loaders import OVMF, made, read, write
from cases.loaders import boot as boot_by_qemu
from cases.programs import PROGRAMS

MIB = 1 << 20
HELLO = "examples/hello/main.exe"
SERVICE = "examples/service/main.exe"
BLOCKS = "tests/programs/soil/block_work.exe"
SEEDED = "tests/programs/storage/seeded.exe"
PORT = 8080
SECURE = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd"
KEYS = "/usr/share/ovmf/PkKek-1-snakeoil"
FIRMWARE = ("seabios", "ovmf", "secure")
# The firmware reads a disk at an IDE controller, and images don't; q35's is SATA.
DRIVEN = ("virtio-blk", "virtio-scsi", "nvme")
FORMATS = ("raw", "qcow2", "vhd")
EVERY = [
    *itertools.product(FIRMWARE, ("pc", "q35"), DRIVEN, FORMATS),
    *itertools.product(FIRMWARE, ("q35",), ("ide",), FORMATS),
]
# These run always, the others in long runs: each firmware, machine, controller and format once.
OFTEN = {
    ("seabios", "pc", "virtio-blk", "qcow2"),
    ("seabios", "q35", "nvme", "raw"),
    ("seabios", "q35", "ide", "raw"),
    ("ovmf", "q35", "ide", "qcow2"),
    ("ovmf", "q35", "virtio-scsi", "raw"),
    ("secure", "q35", "virtio-blk", "vhd"),
}


def firmware(kind):
    """The options of `soil run` for a firmware."""
    if kind == "seabios":
        return ["--firmware", "bios"]
    if not os.path.exists(OVMF):
        raise Skip("no OVMF: install Debian's package ovmf")
    return ["--firmware", "uefi"] + (["--secure-boot", VARIABLES] if kind == "secure" else [])


def boot(context, disk, kind, *options, machine="q35", controller="virtio-blk"):
    """Boots a disk."""
    return context.child(
        [SOIL, "run", disk, *firmware(kind), "--machine", machine, "--controller", controller]
        + ["--accel", "tcg", *options]
    )


def served(context, disk, kind, **where):
    """Boots the service's disk with a network, and returns it once the service is ready."""
    child = boot(context, disk, kind, "--forward", f"{PORT}:80", **where)
    child.wait_line("http: ready")
    return child


def stop(child):
    """Presses the power button; the machine ends by itself."""
    os.kill(child.process.pid, signal.SIGTERM)
    child.finish()


def request(method, path, body=None):
    """The status and the body of the service's answer."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=PATIENCE)
    connection.request(method, path, body)
    answer = connection.getresponse()
    return answer.status, answer.read()


def sign(context):
    """The words of --sign for the key that OVMF's test variables trust."""
    key = context.path("key.pem")
    context.run(
        "openssl", "rsa", "-in", f"{KEYS}.key", "-out", key, "-passin", "pass:snakeoil"
    )  # fmt: skip
    return ["--sign", key, f"{KEYS}.pem"]


def on(kind, machine, controller, form):
    """Registers the test of one combination."""

    @test(
        f"{kind}-{machine}-{controller}-{form}",
        limit=240,
        long=(kind, machine, controller, form) not in OFTEN,
        shows=f"{kind} on {machine} boots {form} disks by {controller}: hello prints, the service "
        "keeps its data over a stop.",
    )
    def boots(context):
        where = {"machine": machine, "controller": controller}
        words = ["--format", form]
        if kind == "secure":
            if machine == "pc":
                raise Skip("i440fx has no system management mode for Secure Boot")
            if not os.path.exists(SECURE) or not shutil.which("sbsign"):
                raise Skip("install Debian's packages ovmf and sbsigntool")
            words += sign(context)
        child = boot(context, made(context, *words), kind, **where)
        child.wait_line("Hello World!")
        child.finish()
        disk = made(context, *words, "--data-size", "16M", "--", "--port", "80", program=SERVICE)
        child = served(context, disk, kind, **where)
        assert request("PUT", "/kv/place", b"kept")[0] == 201
        stop(child)
        child = served(context, disk, kind, **where)
        assert request("GET", "/kv/place") == (200, b"kept")
        stop(child)
        if form == "raw":
            check = context.run(SOIL, "disk", "check", disk, "--partition", "data")
            assert "clean" in check.stdout, check.stdout


for each in EVERY:
    on(*each)


@test(limit=240)
def disks_start_without_random_numbers(context):
    """On processors without RDRAND, in machines without virtio-rng: the seed is the jitter of the
    counter, which one line says with the remedy."""
    if not os.path.exists(OVMF):
        raise Skip("no OVMF: install Debian's package ovmf")
    disk = made(context, program="tests/programs/random_numbers.exe")
    for words, cpu in itertools.product(([], ["-bios", OVMF]), ("kvm64", "qemu64", "Nehalem")):
        child = boot_by_qemu(context, disk, *words, "-cpu", cpu)
        assert child.finish() == 1, child.text
        text = clean(child.text)
        assert text.count("random numbers come from the jitter") == 1, f"{words}, {cpu}:\n{text}"
        assert "-device virtio-rng-pci" in text, f"{words}, {cpu}:\n{text}"
        assert "self_init differs: true" in text, f"{words}, {cpu}:\n{text}"


@test(
    limit=240,
    shows="Without RDRAND and virtio-rng a disk keeps a seed on its data partition: each boot uses "
    "it once, replaces it, and draws other numbers; a machine with virtio-rng leaves it alone.",
)
def a_seed_is_left_to_the_next_boot(context):
    used = "the seed of .soil-random-seed is used and replaced"
    disk = made(context, "--data-size", "16M", "--env", "SOIL_LOG=info", program=SEEDED)

    def booted(*words):
        child = boot_by_qemu(context, disk, "-cpu", "qemu64", *words)
        assert child.finish() == 1, child.text
        numbers = [line for line in clean(child.text).split("\n") if line.startswith("numbers: ")]
        assert len(numbers) == 1, child.text
        return numbers[0], used in child.text, seed()

    def seed():
        folder = context.path("data")
        shutil.rmtree(folder, ignore_errors=True)
        context.run(SOIL, "disk", "extract", disk, folder, "--partition", "data")
        path = os.path.join(folder, ".soil-random-seed")
        if not os.path.exists(path):
            return None
        with open(path, "rb") as file:
            return file.read()

    numbers, was_used, none = booted("-device", "virtio-rng-pci")
    assert not was_used and none is None
    numbers = [numbers]
    seeds = []
    for expected in (False, True, True):
        drawn, was_used, left = booted()
        assert was_used == expected
        assert len(left) == 32
        numbers.append(drawn)
        seeds.append(left)
    assert len(set(numbers)) == 4, numbers
    assert len(set(seeds)) == 3, seeds
    assert booted("-device", "virtio-rng-pci")[1:] == (False, seeds[-1])


def labelled(context):
    """A FAT file system labelled as NoCloud's, which configures a machine that reads it."""
    seed = context.path("seed.img")
    with open(seed, "wb") as file:
        file.truncate(4 * MIB)
    context.run("mformat", "-i", seed, "-v", "CIDATA", "::", env=tools())
    user_data = "#cloud-config\nsoil: {environment: {EVIL: configured}}\n"
    for name, text in (("meta-data", "instance-id: evil\n"), ("user-data", user_data)):
        path = context.path(name)
        with open(path, "w") as file:
            file.write(text)
        context.run("mcopy", "-i", seed, path, f"::{name}", env=tools())
    return seed


@test(limit=240)
def only_what_is_signed_configures(context):
    """Labelled disks, fw_cfg and SMBIOS configure no program that `--sign` signed, unless its
    settings name them; a partition of the boot disk never does."""
    if not shutil.which("sbsign"):
        raise Skip("no sbsign: install Debian's package sbsigntool")
    seed, signed = labelled(context), sign(context)
    program = {"program": "tests/programs/soil/instance.exe"}
    others = ["-fw_cfg", "name=opt/org.soil/settings,string=EVIL=configured"]
    others += ["-smbios", "type=11,value=io.systemd.credential:EVIL=configured"]
    attack = ["--disk", f"seed={seed},ro", *(f"--qemu-arg={word}" for word in others)]
    for words, options, is_configured in (
        (signed, attack, False),
        ([*signed, "--metadata", "disks"], [], False),
        ([*signed, "--metadata", "disks"], attack, True),
        ([], [], False),
        ([], attack, True),
    ):
        disk = made(context, *words, "--data", seed, "--", "EVIL", **program)
        is_restricted = b"\nSOIL_METADATA=none\n" in read(disk, "soil/settings.txt")
        assert is_restricted == (words == signed), words
        child = boot(context, disk, "seabios", *options)
        assert child.finish() == 0, child.text
        expected = "env EVIL: configured" if is_configured else "no metadata"
        assert expected in child.text, (words, options, child.text)
        assert is_configured or "env EVIL" not in child.text, child.text
    change = [SOIL, "image", "--edit", disk, "--env", "A=1"]
    context.run(*change, *signed)
    assert b"\nSOIL_METADATA=none\n" in read(disk, "soil/settings.txt")
    context.run(*change[:4], *signed, "--metadata", "disks")
    assert b"\nSOIL_METADATA=disks\n" in read(disk, "soil/settings.txt")
    context.run(*change[:4], *signed, input="A=2\n")
    assert read(disk, "soil/settings.txt") == b"A=2\nSOIL_METADATA=none\n"


@test(limit=120)
def names_a_missing_driver(context):
    """A disk at an IDE controller boots, and a program that needs its data names the
    controller."""
    disk = made(context, "--data-size", "16M", "--", "--port", "80", program=SERVICE)
    child = boot(context, disk, "seabios", machine="pc", controller="ide")
    child.wait_line("no driver here: IDE at pci 00:01.1; attach the disk by virtio")
    assert child.finish() != 0, child.text


@test(limit=240, long=True)
def programs(context):
    """20 programs of the list that runs in every form, as disks: output and status."""
    chosen = [
        program
        for program in PROGRAMS
        if "q35" in program.forms and not program.options and program.contains is None
        and "/" not in program.program
    ]  # fmt: skip
    assert len(chosen) >= 20
    for program in chosen[:20]:
        words = [f"--env={name}={value}" for name, value in program.environment.items()]
        arguments = [word() if callable(word) else word for word in program.arguments]
        disk = made(context, *words, "--", *arguments, program=program.program)
        status = (child := boot(context, disk, "seabios")).finish()
        with open(f"{os.path.dirname(__file__)}/../programs/expected/{program.label}.txt") as file:
            wanted = file.read()
        assert clean(child.text) == wanted, f"{program.label} printed:\n{child.text}"
        assert status == program.status, f"{program.label}: status {status}"


@test(limit=120)
def same_bytes(context):
    """The same input gives the same disk in each format, with each file system of the data; hello's
    has one mebibyte."""
    assert os.path.getsize(made(context)) == MIB
    for words in (
        ["--data-size", "8M"],
        ["--data-size", "8M", "--data-fs", "fat"],
        ["--format", "qcow2"],
        ["--format", "vhd"],
        ["--format", "gce", "--data-size", "8M"],
    ):
        one = made(context, *words, name="one")
        # FAT and ext4 have times of two seconds and of one.
        time.sleep(2)
        two = made(context, *words, name="two")
        assert filecmp.cmp(one, two, shallow=False), words
    listing = context.run("tar", "-tvf", one).stdout.split()
    assert (listing[2], listing[-1]) == (str(1 << 30), "disk.raw"), listing
    other = made(context, "--env", "A=1", "--data-size", "8M", name="other")
    uuids = {disk_uuids(context, disk) for disk in (made(context, "--data-size", "8M"), other)}
    assert len(uuids) == 2, uuids


def disk_uuids(context, disk):
    """The disk's and the partitions' GUIDs, each another one."""
    dump = context.run("sfdisk", "--dump", disk, env=tools()).stdout
    guids = [line.split(":", 1)[1].strip() for line in dump.splitlines() if "label-id" in line]
    guids += [word[5:].rstrip(",") for word in dump.split() if word.startswith("uuid=")]
    assert len(set(guids)) == len(guids) == 4, dump
    return tuple(guids)


@test(limit=120)
def sound_disks(context):
    """sgdisk, fsck.fat and e2fsck find nothing wrong with a disk."""
    disk = made(context, "--data-size", "16M", "--size", "40M")
    verified = context.run("sgdisk", "--verify", disk, env=tools()).stdout
    assert "No problems found" in verified, verified
    dump = context.run("sfdisk", "--dump", disk, env=tools()).stdout
    places = [
        (int(line.split("start=")[1].split(",")[0]), int(line.split("size=")[1].split(",")[0]))
        for line in dump.splitlines()
        if "start=" in line
    ]
    for (start, sectors), check in zip(
        places[1:], (["fsck.fat", "-n"], ["e2fsck", "-f", "-n"]), strict=True
    ):
        part = context.path("part")
        with open(disk, "rb") as source, open(part, "wb") as file:
            source.seek(start * 512)
            file.write(source.read(sectors * 512))
        context.run(*check, part, env=tools())


@test(limit=120)
def data_of_a_file(context):
    """--data takes the file system of an image, with or without a partition table."""
    folder = context.path("files")
    os.mkdir(folder)
    with open(os.path.join(folder, "index.html"), "w") as file:
        file.write("from the data partition\n")
    for words in ([], ["--partition", "gpt"]):
        data = context.path("data.img")
        context.run(SOIL, "disk", "make", data, folder, "--size", "8M", "--fs", "fat", "--force",
                    *words)  # fmt: skip
        disk = made(context, "--data", data)
        out = context.path(f"out{len(words)}")
        context.run(SOIL, "disk", "extract", disk, out, "--partition", "data")
        with open(os.path.join(out, "index.html")) as file:
            assert file.read() == "from the data partition\n"


@test(limit=180)
def grows(context):
    """The data partition and its file system grow with the disk."""
    disk = made(context, "--data-size", "16M", "--", "--port", "80", program=SERVICE)
    context.run("qemu-img", "resize", "-f", "raw", disk, "256M")
    child = served(context, disk, "seabios")
    value = os.urandom(MIB)
    for number in range(32):
        assert request("PUT", f"/kv/{number}", value)[0] == 201
    stop(child)
    check = context.run(SOIL, "disk", "check", disk, "--partition", "data")
    assert "clean" in check.stdout, check.stdout
    child = served(context, disk, "seabios")
    assert request("GET", "/kv/31") == (200, value)
    stop(child)


@test(limit=120)
def hides_the_boot_partitions(context):
    """The program has its data partition, and nothing else of its disk by any name: what is in
    front of the partition stays."""
    others = ("data/soil-boot", "data/2", "boot", "boot/soil-boot", "disk0")
    disk = made(context, "--data-size", "8M", "--", "partitions", "data", *others, program=BLOCKS)
    start = int(data_place(context, disk).rsplit("=", 1)[1])
    before = content(disk)[:start]
    words = [f"--qemu-arg={word}" for word in ("-global", "virtio-blk-device.serial=boot")]
    child = boot(context, disk, "seabios", *words)
    assert child.finish() == 0, child.text
    assert f"data: data, {(8 * MIB) // 512} sectors" in child.text, child.text
    for name in others:
        assert f"open {name}: " in child.text, child.text
        assert f"{name}: {name}, " not in child.text, child.text
    assert content(disk)[:start] == before


@test(limit=240)
def killed_while_it_grows(context):
    """A machine that is killed after any write of its data partition's growth: the next boot has
    the data, and all of the disk."""
    old = made(context, "--data-size", "16M", "--", "--port", "80", program=SERVICE, name="old")
    child = served(context, old, "seabios")
    assert request("PUT", "/kv/place", b"kept")[0] == 201
    stop(child)
    context.run("qemu-img", "resize", "-f", "raw", old, "128M")
    found = set()
    for writes in range(1, 23, 1 if context.long else 3):
        disk = context.path("disk.img")
        shutil.copyfile(old, disk)
        # Slow enough to see each write. Without `soil run`, so that the kill is QEMU's own.
        words = ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net"]
        child = boot_by_qemu(context, f"{disk},throttling.iops-write=25", *words)
        wait_written(context, disk, writes, child)
        child.stop()
        found.add(sizes(context, disk))
        child = served(context, disk, "seabios")
        assert request("GET", "/kv/place") == (200, b"kept"), writes
        stop(child)
        check = context.run(SOIL, "disk", "check", disk, "--partition", "data")
        assert "clean" in check.stdout, check.stdout
        partition, volume = sizes(context, disk)
        assert partition > 112 * MIB and volume > partition - MIB, (writes, partition, volume)
    print(f"sizes of partition and volume when killed: {sorted(found)}")
    assert len(found) > 1, found


def wait_written(context, disk, writes, child):
    """Waits until so many writes to the disk were seen, or the service is ready."""
    seen, last = 0, os.stat(disk).st_mtime_ns
    while seen < writes and "http: ready" not in child.text:
        child.drain(0.002)
        assert context.remaining() > 1 and child.process.poll() is None, child.text
        now = os.stat(disk).st_mtime_ns
        seen, last = seen + (now != last), now


def sizes(context, disk):
    """Bytes of a disk's data partition, and of the ext4 volume on it."""
    line, start = data_entry(context, disk)
    with open(disk, "rb") as file:
        file.seek(start + 1024)
        superblock = file.read(1024)
    blocks, shift = struct.unpack_from("<I", superblock, 4)[0], superblock[24]
    size = int(line.split("size=")[1].split(",")[0]) * 512
    return size, blocks << (10 + shift)


@test(limit=180)
def replaces_the_program(context):
    """--replace puts another program on a disk: its data stays, and its settings; a program that
    doesn't fit changes nothing."""
    disk = made(context, "--data-size", "16M", "--env", "A=1", "--", "x", program=SERVICE)
    write_data(context, disk, b"kept\n")
    words = [SOIL, "image", executable(HELLO, "q35"), "--output", disk, "--replace"]
    context.run(*words, "--env", "B=2")
    text = read(disk, "soil/settings.txt").decode()
    assert "\nA=1\n" in text and "\nB=2\n" in text and text.endswith("--\nx\n"), text
    assert read_data(context, disk) == b"kept\n"
    child = boot(context, disk, "seabios")
    child.wait_line("Hello World!")
    child.finish()
    small = made(context)
    before = content(small)
    words = [SOIL, "image", executable(SERVICE, "q35"), "--output", small, "--replace"]
    refused = context.run(*words, check=False)
    assert refused.returncode == 1 and "its boot partition has" in refused.stderr, refused.stderr
    assert content(small) == before


def content(path):
    with open(path, "rb") as file:
        return file.read()


def write_data(context, disk, data):
    """Writes the file /file on the ext4 of a disk's data partition."""
    source = context.path("source")
    with open(source, "wb") as file:
        file.write(data)
    context.run("debugfs", "-w", "-R", f"write {source} file", data_place(context, disk),
                env=tools())  # fmt: skip


def read_data(context, disk):
    out = context.path("out")
    shutil.rmtree(out, ignore_errors=True)
    context.run(SOIL, "disk", "extract", disk, out, "--partition", "data")
    return content(os.path.join(out, "file"))


def data_place(context, disk):
    """The data partition in the words of e2fsprogs."""
    return f"{disk}?offset={data_entry(context, disk)[1]}"


def data_entry(context, disk):
    """sfdisk's line of the data partition, and the byte where it starts."""
    dump = context.run("sfdisk", "--dump", disk, env=tools()).stdout
    line = next(line for line in dump.splitlines() if 'name="data"' in line)
    return line, int(line.split("start=")[1].split(",")[0]) * 512


@test(limit=120)
def killed_while_it_replaces(context):
    """`soil image --replace` that is killed at any moment leaves the old disk or the new one."""
    disk = made(context, "--data-size", "64M", program=SERVICE)
    write_data(context, disk, b"kept\n")
    programs = [executable(program, "q35") for program in (HELLO, SERVICE)]
    stripped = []
    for program in programs:
        context.run(SOIL, "strip", program, context.path("stripped"))
        stripped.append(content(context.path("stripped")))
    ended = 0
    for attempt in range(24):
        words = [SOIL, "image", programs[attempt % 2], "--output", disk, "--replace"]
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True)
        time.sleep(attempt / 80)
        child.send_signal(signal.SIGKILL)
        ended += child.wait() == 0
        # A command that it was about to start has the disk open until then.
        with contextlib.suppress(ProcessLookupError):
            while True:
                os.killpg(child.pid, 0)
                time.sleep(0.01)
        assert read(disk, "soil/image.elf") in stripped
        assert read_data(context, disk) == b"kept\n"
    print(f"{ended} of 24 ended before they were killed")


@test(limit=120)
def edits_settings(context):
    """--edit changes variables and arguments, takes whole settings from standard input, and runs
    the user's editor on a terminal; what means nothing is refused and changes nothing."""
    disk = made(context, "--env", "A=1", "--", "one", "two\nlines")
    edit = [SOIL, "image", "--edit", disk]
    context.run(*edit, "--env", "A=x y", "--", "# first")
    lines = read(disk, "soil/settings.txt").decode().splitlines()
    assert lines[1:] == ["SOIL_ARGV0=main.exe", '"A=x y"', "--", '"# first"'], lines
    context.run(*edit, input="# mine\nB=2\n")
    assert read(disk, "soil/settings.txt") == b"# mine\nB=2\n"
    for text, message in (
        ("loud\n", "'loud' isn't NAME=VALUE"),
        ("", "standard input: empty"),
        ("A=1 " * 20_000, "bytes"),
    ):
        refused = context.run(*edit, input=text, check=False)
        assert refused.returncode == 1 and message in refused.stderr, refused.stderr
    assert read(disk, "soil/settings.txt") == b"# mine\nB=2\n"
    editor = context.path("editor")
    with open(editor, "w") as file:
        file.write('#!/bin/sh\nsed -i "s/B=2/B=3/" "$2"\n')
    os.chmod(editor, 0o755)
    # script(1) gives the command a terminal.
    words = " ".join(edit)
    context.run("script", "-qec", words, "/dev/null", env={**os.environ, "EDITOR": f"{editor} -x"})
    assert read(disk, "soil/settings.txt") == b"# mine\nB=3\n"


@test()
def names_the_source_of_metadata(context):
    """--metadata is a variable of the settings of a new disk, of an edited and of a replaced one;
    an unknown source is refused with the list, and a process has none."""
    disk = made(context, "--metadata", "gce")
    assert b"\nSOIL_METADATA=gce\n" in read(disk, "soil/settings.txt")
    context.run(SOIL, "image", "--edit", disk, "--metadata", "none")
    assert b"\nSOIL_METADATA=none\n" in read(disk, "soil/settings.txt")
    program = executable(HELLO, "q35")
    words = [SOIL, "image", program, "--output", disk]
    context.run(*words, "--replace", "--metadata", "hetzner")
    settings = read(disk, "soil/settings.txt")
    assert b"\nSOIL_METADATA=hetzner\n" in settings and settings.count(b"SOIL_METADATA") == 1
    refused = context.run(SOIL, "image", "--edit", disk, "--metadata", "azure", check=False)
    sources = "none, disks, ec2, gce, openstack, hetzner, digitalocean, auto"
    assert refused.returncode == 2 and sources in refused.stderr, refused.stderr
    assert read(disk, "soil/settings.txt") == settings
    process = [SOIL, "image", executable(HELLO, "process"), "--output", context.path("oci")]
    refused = context.run(*process, "--format", "oci", "--metadata", "gce", check=False)
    assert refused.returncode == 1 and "--metadata" in refused.stderr, refused.stderr


@test(limit=120)
def refuses(context):
    """Each wrong option or file is one line with the remedy, and no file is left."""
    hello = executable(HELLO, "q35")
    text = context.path("text")
    with open(text, "w") as file:
        file.write("no program\n")
    blank = context.path("blank.img")
    with open(blank, "wb") as file:
        file.truncate(MIB)
    disk = made(context)
    damaged = context.path("damaged.img")
    shutil.copyfile(disk, damaged)
    write(damaged, "soil/image.elf", None)
    short = context.path("short.img")
    shutil.copyfile(disk, short)
    os.truncate(short, MIB - 1)
    other = context.path("other")
    context.run(
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other",
        "-keyout", f"{other}.key", "-out", f"{other}.pem",
    )  # fmt: skip
    folder = context.path("new")
    os.mkdir(folder)
    output = ["--output", os.path.join(folder, "disk.img")]
    replace = [hello, "--replace", "--output"]
    cases = [
        ([text, *output], "neither a Soil image nor a Linux executable"),
        ([executable(HELLO, "process"), *output], "name the image, below _build/soil"),
        ([context.path("absent"), *output], "does not exist"),
        ([hello, *output, "--format", "floppy"], "possible values: raw, qcow2, vhd, gce"),
        ([hello, *output, "--engine", "kubevirt"], "give --format oci as well"),
        ([hello, *output, "--size", "1020K"], "the disk needs 1048576 bytes: give --size 1M"),
        ([hello, *output, "--size", "1023K"], "a multiple of 4096 bytes"),
        ([hello, *output, "--size", str(MIB - 1)], "a size with its unit"),
        ([hello, *output, "--size", "1028K"], "whole multiples of 1 MiB: give --size 2M"),
        ([hello, *output, "--data", text], "no sectors"),
        ([hello, "--output", disk], "--force replaces it"),
        ([hello, *output, "--sign", text, f"{other}.pem"], "--sign the PEM files"),
        ([hello, *output, "--sign", f"{other}.key", f"{KEYS}.pem"], "not the key of"),
        ([hello, *output, "--sign", context.path("absent"), text], "No such file"),
        ([*replace, blank], "not a disk of soil image"),
        ([*replace, text], "not a disk of soil image"),
        ([*replace, damaged], "make the disk again"),
        ([*replace, short], "second copy of the GPT"),
        ([*replace, made(context, "--format", "qcow2", name="q")], "qemu-img convert -O raw"),
        (["--edit", short, "--env", "A=1"], "second copy of the GPT"),
        (["--edit", folder], "not a file"),
        ([hello], "--output"),
    ]
    tiny = context.path("tiny")
    with open(tiny, "wb") as file:
        file.truncate(64 << 10)
    # Debian 13's makes so small a volume.
    if context.run("mkfs.ext4", "-q", tiny, check=False).returncode != 0:
        cases.append(([hello, *output, "--data-size", "64K"], "--data-size: too little for ext4"))
    for words, message in cases:
        refused = context.run(SOIL, "image", *words, check=False)
        assert refused.returncode in (1, 2) and message in refused.stderr, (words, refused.stderr)
    assert os.listdir(folder) == []
    assert not any(name.startswith(".soil-disk") for name in os.listdir(context.directory))
