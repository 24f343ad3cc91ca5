"""Disks of `soil image` from power-on to their first line, their sizes, and disks behind
virtio-scsi and NVMe.

The peer's disk has Debian's cloud kernel and the same init: behind SYSLINUX by BIOS, as one UEFI
program with systemd's stub by UEFI.
"""

import os
import subprocess

import disks
import peer
import qemu
import storage
from boot import LINUX, PROGRAMS, built, image
from measure import Figure
from start import said, started

MIB = 1 << 20
SECTOR = 512
TOOL = "_build/default/tools/soil"
OVMF = "/usr/share/ovmf/OVMF.fd"
FIRMWARE = {"bios": [], "uefi": ["-bios", OVMF]}
# What a firmware prints last before it reads a UEFI program or enters a boot sector.
STAMP = {"bios": "Booting from 0000:7c00", "uefi": "BdsDxe: loading"}
# The first partition of the peer's disks.
FIRST = 2048
CONTROLLERS = {
    "scsi": ["-device", "virtio-scsi-pci", "-device", "scsi-hd,drive=d0,serial=data"],
    "nvme": ["-device", "nvme,drive=d0,serial=data"],
}
# Drivers of the peer in the order of their dependencies, and its name of the disk.
MODULES = {
    "scsi": ["scsi_common", "scsi_mod", "virtio_scsi"],
    "nvme": ["nvme-common", "nvme-auth", "nvme-core", "nvme"],
}
# What newer kernels have in modules, too.
CHECKSUMS = ["crct10dif_common", "crc-t10dif", "crc64", "crc64-rocksoft", "crc64-rocksoft-generic"]
CHECKSUMS += ["crc64_rocksoft", "crc64_rocksoft_generic", "t10-pi"]
NAMES = {"scsi": "/dev/sda", "nvme": "/dev/nvme0n1"}


def prepare():
    for name in PROGRAMS:
        made(name)
    peer_bios("hello", LINUX + "hello.exe", [])
    peer_uefi()
    for kind in CONTROLLERS:
        peer.initramfs("storage-" + kind, present(kind), built(storage.PEER))


def present(kind):
    """The peer's modules of a controller, without those that this kernel lacks."""
    names = [*CHECKSUMS, *MODULES[kind]] + (["sd_mod"] if kind == "scsi" else [])
    return peer.TRANSPORT["q35"] + [name for name in names if found(name)]


def found(name):
    try:
        return peer.module(name) is not None
    except peer.Missing:
        return False


def made(name):
    """The disk that `soil image` makes of an example."""
    path = peer.work(name + "-disk.img")
    words = ["image", built("_build/soil/" + PROGRAMS[name]), "--force", "--output", path]
    peer.run(built(TOOL), *words, capture_output=True)
    return path


def allocated(path):
    """Bytes that a sparse file takes on the host's disk."""
    return os.stat(path).st_blocks * 512


def sparse(path):
    """Frees the blocks of zeros, as a copy of the file would have it."""
    peer.run("fallocate", "--dig-holes", path)
    return path


def volume(path, files, size):
    """A disk of `size` bytes with one active FAT partition that has `files`, by their names; the
    words of mtools for the partition."""
    with open(path, "wb") as file:
        file.truncate(size)
    table = f"label: dos\nstart={FIRST}, type=c, bootable\n"
    peer.run("sfdisk", "-q", path, input=table.encode(), capture_output=True)
    at = f"{path}@@{FIRST * SECTOR}"
    blocks = str((size - FIRST * SECTOR) // 1024)
    peer.run("mkfs.fat", f"--offset={FIRST}", "-h", str(FIRST), path, blocks, capture_output=True)
    for name, source in files.items():
        *folders, _ = name.split("/")
        for depth in range(len(folders)):
            peer.run("mmd", "-D", "s", "-i", at, "::/" + "/".join(folders[: depth + 1]))
        peer.run("mcopy", "-i", at, source, "::/" + name)
    return at


def size_for(*paths):
    """The least whole MiB with the first partition's place and the file system's tables."""
    return (sum(map(os.path.getsize, paths)) // MIB + 4) * MIB


def written(name, text):
    path = peer.work(name)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


def peer_bios(name, program, modules):
    """The peer's disk for BIOS: SYSLINUX, without a prompt or a delay."""
    folder = peer.set_up("loaders")
    archive = packed(peer.initramfs(name, modules, built(program)))
    line = peer.command_line(["RUN=/app"])
    text = f"DEFAULT l\nPROMPT 0\nLABEL l\nLINUX linux\nINITRD initrd\nAPPEND {line}\n"
    kernel = peer.kernel()[1]
    path = peer.work(f"peer-{name}-bios.img")
    files = {"linux": kernel, "initrd": archive, "syslinux.cfg": written("syslinux.cfg", text)}
    volume(path, files, size_for(kernel, archive))
    peer.run(os.path.join(folder, "usr/bin/syslinux"), "--install", "-t", str(FIRST * SECTOR), path)
    with open(os.path.join(folder, "usr/lib/syslinux/mbr/mbr.bin"), "rb") as code:
        start = code.read(440)  # up to the partition table
    with open(path, "r+b") as file:
        file.write(start)
    return sparse(path)


def packed(archive):
    """The archive, compressed: it is read faster, and takes less of the disk."""
    with open(archive + ".gz", "wb") as file:
        peer.run("gzip", "-9", "-n", "-c", archive, stdout=file)
    return archive + ".gz"


def peer_uefi():
    """The peer's disk for UEFI: kernel, archive and command line in one program."""
    stub = os.path.join(peer.set_up("loaders"), "usr/lib/systemd/boot/efi/linuxx64.efi.stub")
    archive = packed(peer.initramfs("hello", [], built(LINUX + "hello.exe")))
    line = written("cmdline", peer.command_line(["RUN=/app"]) + "\0")
    sections = {".cmdline": line, ".initrd": archive, ".linux": peer.kernel()[1]}
    program, words, at = peer.work("peer.efi"), [], base(stub)
    for section, source in sections.items():
        words += ["--add-section", f"{section}={source}"]
        words += ["--change-section-vma", f"{section}={at:#x}"]
        at += (os.path.getsize(source) + 0xFFFF) & ~0xFFFF
    peer.run("objcopy", *words, stub, program)
    path = peer.work("peer-hello-uefi.img")
    volume(path, {"EFI/BOOT/BOOTX64.EFI": program}, size_for(program))
    return sparse(path)


def base(stub):
    """An address behind the sections of a UEFI program."""
    text = subprocess.run(["objdump", "-h", "-w", stub], check=True, capture_output=True).stdout
    rows = [line.split() for line in text.decode().splitlines()]
    ends = [int(row[2], 16) + int(row[3], 16) for row in rows if len(row) > 6 and row[0].isdigit()]
    return (max(ends) + 0xFFFFF) & ~0xFFFFF


def machine(disk, firmware, mem=256):
    """QEMU's words for a machine that boots this disk by its firmware; both sides have the same."""
    return [
        qemu.QEMU, "-accel", "tcg", "-M", "q35", "-cpu", "qemu64", "-m", str(mem), "-smp", "1",
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        # SeaBIOS writes its messages to port 0x402, OVMF to the serial port.
        "-chardev", "stdio,id=out,mux=on", "-serial", "chardev:out",
        "-device", "isa-debugcon,iobase=0x402,chardev=out",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04", *FIRMWARE[firmware],
        "-drive", f"if=none,id=d0,file={disk},format=raw,snapshot=on",
        "-device", "virtio-blk-pci,drive=d0,bootindex=0",
    ]  # fmt: skip


def times(command, stamp):
    """Milliseconds from the start of QEMU to the first line, and from the firmware's stamp to it."""
    with started(command, said("Hello", timeout=60)) as (child, seconds):
        at = stamp_of(child.lines, stamp)
        return seconds * 1000, (seconds - at) * 1000


def stamp_of(lines, stamp):
    """The time of the only line with this text among (time, line) pairs."""
    found = [at for at, line in lines if stamp in line]
    if len(found) != 1:
        raise RuntimeError(f"the firmware printed {stamp!r} {len(found)} times, not once")
    return found[0]


def boot(options):
    """From the start of QEMU to the first line, and in the same boot from the firmware's end."""
    figures = []
    for kind in FIRMWARE:
        whole = Figure(f"boot_{kind}_ms", "ms", "lower")
        loader = Figure(f"boot_{kind}_loader_ms", "ms", "lower")
        both = [peer.work("hello-disk.img"), peer.work(f"peer-hello-{kind}.img")]
        for _ in range(options.pairs):
            pairs = [times(machine(disk, kind), STAMP[kind]) for disk in both]
            for figure, pair in zip((whole, loader), zip(*pairs)):
                figure.add(*pair)
        figures += [whole, loader]
    return figures


def sizes(_options):
    """Bytes of a disk's raw file, apparent and allocated. The peer's is the one for BIOS, the
    smaller of the two."""
    figures = []
    programs = {"hello": ("hello.exe", []), "echo": ("serve.exe", peer.NET)}
    programs["website"] = programs["echo"]
    for name, (program, modules) in programs.items():
        modules = peer.TRANSPORT["q35"] + modules if modules else []
        theirs = peer_bios("disk-" + name if modules else name, LINUX + program, modules)
        for suffix, size in (("", os.path.getsize), ("_sparse", allocated)):
            figure = Figure(f"image_disk_bytes_{name}{suffix}", "bytes", "lower")
            figure.add(size(sparse(made(name))), size(theirs))
            figures.append(figure)
    return figures


def behind(command, kind):
    """The words of a guest with its disk on another controller."""
    at = next(i for i, word in enumerate(command) if word.startswith("virtio-blk-"))
    return [*command[: at - 1], *CONTROLLERS[kind], *command[at + 1 :]]


def raw(kind):
    """The group of the disks behind a controller: the figures of `storage.raw`, on q35."""

    def group(options):
        names = [figure[len("fs_blk_") :] for figure in RAW]
        figures = [Figure(f"{kind}_{name}", unit(name), "higher") for name in names]
        flush = Figure(f"{kind}_flush_us_p50", "us", "lower")
        works = [*storage.raw_works(), f"flushes/{storage.FLUSHES}"]
        disk, archive = disks.random_disk(), peer.work(f"storage-{kind}.cpio")
        program = image(storage.IMAGE)
        soil = behind(qemu.soil(program, works, "q35", disk=disk), kind)
        linux = behind(qemu.linux(archive, present(kind), works, "q35", disk=disk), kind)
        linux[linux.index("-append") + 1] += " DISK=" + NAMES[kind]
        for pair in range(options.pairs):
            # The order alternates, since the first guest's writes are still on the way to the disk
            # of the host when the second starts.
            order = (soil, linux) if pair % 2 == 0 else (linux, soil)
            ours, theirs = map(storage.results, order)
            if pair % 2:
                ours, theirs = theirs, ours
            *seconds, latency = zip(ours, theirs, strict=True)
            storage.add_raw(figures, seconds)
            flush.add(*latency)
        return [*figures, flush]

    return group


RAW = """fs_blk_seq_read_mibs fs_blk_seq_write_mibs fs_blk_rand_read_iops_qd1
fs_blk_rand_read_iops_qd32 fs_blk_rand_write_iops_qd32""".split()


def unit(name):
    return "MiB/s" if name.endswith("mibs") else "reads/s" if "read" in name else "writes/s"


GROUPS = {
    "disk_boot": boot,
    "disk_size": sizes,
    **{kind: raw(kind) for kind in CONTROLLERS},
}
ORDER = [f"boot_{kind}{suffix}_ms" for kind in FIRMWARE for suffix in ("", "_loader")]
ORDER += [f"image_disk_bytes_{name}{suffix}" for name in PROGRAMS for suffix in ("", "_sparse")]
for each in CONTROLLERS:
    ORDER += [f"{each}_{name[len('fs_blk_') :]}" for name in RAW] + [f"{each}_flush_us_p50"]
