"""Files of an initrd: archives of GNU cpio, and an appended archive, as urunc has for the files
that Kubernetes mounts (pkg/unikontainers/initrd: absolute names without directories)."""

import os
import socket

from cases.monitors import address, card, qemu
from cases.names import A, NameServer
from harness.context import clean, executable
from harness.runner import test

CONTENTS = "tests/programs/unmodified/contents.exe"
SOIL_FILES = "tests/programs/soil/from_initrd.exe"
RESOLVER = "tests/programs/unmodified/resolver.exe"
# The machine of urunc, and another. QEMU's microvm puts an initrd over ACPI's tables.
MACHINES = ("pc", "q35", "microvm,acpi=off")
REGULAR = 0o100644


def entry(name, text, mode=REGULAR):
    """An entry of an archive, in the format newc."""
    name = name.encode() + b"\0"
    fields = [0, mode, 0, 0, 1, 0, len(text), 0, 0, 0, 0, len(name), 0]
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name
    return head + b"\0" * (-len(head) % 4) + text + b"\0" * (-len(text) % 4)


def archive(files):
    """An archive with these files, by path."""
    entries = [entry(path, text) for path, text in files.items()]
    return b"".join(entries) + entry("TRAILER!!!", b"", 0)


def of_cpio(context, files):
    """The archive that GNU cpio makes of a folder with these files."""
    folder = context.path("folder")
    for path, text in files.items():
        path = os.path.join(folder, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(text)
    made = context.path("made.cpio")
    script = f"cd '{folder}' && find . | cpio -o -H newc --quiet > '{made}'"
    context.run("sh", "-c", script)
    with open(made, "rb") as file:
        return file.read()


def start(context, program, initrd, arguments, machine="pc", line="", devices=()):
    """Starts the program on a machine with this initrd."""
    path = context.path("initrd")
    with open(path, "wb") as file:
        file.write(initrd)
    image = context.path("image.elf")
    context.run("strip", "-o", image, executable(program, "q35"))
    words = ["-kernel", image, "-initrd", path, *devices]
    line = f"console=ttyS0 root=/dev/ram0 rw {line} rdinit=/unikernel/image.elf --"
    return qemu(context, machine, "max", *words, "-append", f"{line} {' '.join(arguments)}")


def lines(child):
    """The program's output."""
    child.finish()
    return [line for line in clean(child.text).splitlines() if not line.startswith("soil: status")]


@test(limit=120)
def files_of_an_initrd(context):
    """A program sees the files of both archives beside its own tree, the later file of two, and can
    write there; on three machines."""
    large = bytes(range(256)) * 1000
    first = {
        "etc/settings": b"a=1\n",
        "etc/old": b"of the image",
        "etc/hosts": b"10.0.0.9 pod\n",
        "large": large,
    }
    pod = {"/etc/old": b"of the pod", "/var/run/secrets/token": b"secret"}
    initrd = of_cpio(context, first) + archive(pod)
    paths = ["/etc/settings", "/etc/old", "/etc/hosts", "/var/run/secrets", "/etc", "/none"]
    paths += ["/var/run/secrets/token", "+/etc/settings", "+/tmp/new", "/dev/null"]
    expected = [
        '/etc/settings: "a=1\\n"',
        '/etc/old: "of the pod"',
        '/etc/hosts: "10.0.0.9 pod\\n"',
        "/var/run/secrets: [token]",
        "/etc: [group hosts localtime old passwd protocols resolv.conf services settings]",
        "/none: /none: No such file or directory",
        '/var/run/secrets/token: "secret"',
        '/etc/settings: "written"',
        '/tmp/new: "written"',
        '/dev/null: ""',
    ]
    for machine in MACHINES:
        found = lines(start(context, CONTENTS, initrd, paths, machine))
        assert found == expected, (machine, found)
    # Every byte of a large file, and of a program with Soil's own functions.
    paths = ["/large", "/etc/old", "/var/run/", "/etc/passwd"]
    expected = ["/large: " + ocaml(large), '/etc/old: "of the pod"', "/var/run/: secrets"]
    expected += ["/etc/passwd: not found"]
    found = lines(start(context, SOIL_FILES, initrd, paths))
    assert found == expected, found[1:]


def ocaml(data):
    """The text of OCaml's %S."""
    special = {0x22: '\\"', 0x5C: "\\\\", 0x0A: "\\n", 0x09: "\\t", 0x0D: "\\r", 0x08: "\\b"}
    shown = (
        special.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03}") for byte in data
    )
    return '"' + "".join(shown) + '"'


@test(limit=120)
def a_damaged_initrd_is_an_error(context):
    """Damaged archives, other files, and an archive larger than the machine's memory for files: a
    line with the reason, and errors of the program's calls; devices are there."""
    whole = archive({"/etc/settings": b"a=1\n"})
    size = whole.replace(b"00000004" + b"0" * 32, b"fffffff0" + b"0" * 32, 1)
    large = archive({"/large": bytes(80 << 20)})
    for initrd, reason in (
        (whole[:-8], "the archive is damaged at byte 128: a name or contents are longer than"),
        (whole.replace(b"/etc/set", b"/../../x"), "damaged at byte 0: a name isn't a path, or has"),
        (size, "the archive is damaged at byte 0: a name or contents are longer than the rest"),
        (b"\x1f\x8b\x08" + whole, "the archive at byte 0 is packed with gzip: unpack it first"),
        (b"#!/bin/sh\n" * 20, "not a cpio archive: make one with cpio -o -H newc"),
        (large, '"/large" of the archive: no space left on the volume'),
    ):
        found = lines(start(context, CONTENTS, initrd, ["/etc/settings", "/dev/null"]))
        assert any(reason in line for line in found), (reason, found)
        assert any(line.startswith("/etc/settings: /etc/settings: ") for line in found), found
        assert '/dev/null: ""' in found, found


@test(limit=120)
def name_servers_of_an_initrd(context):
    """A pod's resolv.conf: the C library and Soil's resolver ask that server, with its domain; the
    launcher's own servers take precedence."""
    tap = context.tap()
    zone = {("web.pod.test", A): [socket.inet_aton("10.1.2.3")]}
    server = NameServer(tap, zone)
    NameServer(tap, {("web.pod.test", A): [socket.inet_aton("10.9.9.9")]}, port=5300)
    text = f"search pod.test\nnameserver {tap.host}\noptions ndots:5\n"
    initrd = archive({"/etc/resolv.conf": text.encode()})
    for program, words, line, expected in (
        (SOIL_FILES, ["?web"], "", "?web: 10.1.2.3"),
        (RESOLVER, ["unix", "web"], "", "unix web: 10.1.2.3"),
        (SOIL_FILES, ["?web"], f"SOIL_DNS={tap.host}:5300", "?web: 10.9.9.9"),
    ):
        del server.queries[:]
        devices = card(tap, "virtio-net-pci")
        words_of_line = f"{address(tap)} {line}"
        child = start(context, program, initrd, words, line=words_of_line, devices=devices)
        assert expected in lines(child), child.text
        assert (("web.pod.test", A, False) in server.queries) == (line == ""), server.queries
