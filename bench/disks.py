"""Raw disk and FAT, timed on the host between the guest's lines. QEMU opens disks with
cache=none."""

import os
import subprocess

import peer
import qemu
from boot import LINUX, SOIL, between, built, image
from measure import Figure

MIB = 1 << 20
DISK = 1024 * MIB
FILE = 128 * MIB


def prepare():
    for machine, transport in peer.TRANSPORT.items():
        modules = transport + peer.DISK + peer.VFAT
        peer.initramfs("disk-" + machine, modules, built(LINUX + "disk.exe"))
    random_disk()


def random_disk():
    """A fully allocated disk with random contents."""
    path = peer.work("random.img")
    if not os.path.exists(path) or os.path.getsize(path) != DISK:
        with open(path, "wb") as file:
            for _ in range(DISK // MIB):
                file.write(os.urandom(MIB))
    return path


def fat_disk(name):
    """A fresh FAT32 file system on a sparse disk."""
    path = peer.work(name + ".img")
    if os.path.exists(path):
        os.unlink(path)
    with open(path, "wb") as file:
        file.truncate(DISK)
    subprocess.run(["mkfs.fat", "-F", "32", path], check=True, capture_output=True)
    return path


def raw(options):
    """Sequential reads of 1 MiB and random reads of 4 KiB, one at a time, past the page cache."""
    sequential = Figure("blk_seq_read_mibs", "MiB/s", "higher")
    random = Figure("blk_rand_read_iops", "reads/s", "higher")
    modules = peer.TRANSPORT[options.machine] + peer.DISK
    archive = peer.work(f"disk-{options.machine}.cpio")
    program, disk, count = image(SOIL + "disk.exe"), random_disk(), 10000

    def seconds(words):
        return (
            between(qemu.soil(program, words, options.machine, disk=disk)),
            between(qemu.linux(archive, modules, words, options.machine, disk=disk)),
        )

    for _ in range(options.pairs):
        soil, linux = seconds(["sequential", str(DISK)])
        sequential.add(DISK / MIB / soil, DISK / MIB / linux)
        soil, linux = seconds(["random", str(count), str(DISK)])
        random.add(count / soil, count / linux)
    return [sequential, random]


def files(options):
    """A 128 MiB file in pieces of 64 KiB on a fresh FAT32: written and synced, then read in a new
    boot."""
    write = Figure("fat_write_mibs", "MiB/s", "higher")
    read = Figure("fat_read_mibs", "MiB/s", "higher")
    modules = peer.TRANSPORT[options.machine] + peer.DISK + peer.VFAT
    archive = peer.work(f"disk-{options.machine}.cpio")
    program = image(SOIL + "disk.exe")

    def soil(disk, words):
        return FILE / MIB / between(qemu.soil(program, words, options.machine, disk=disk))

    def linux(disk, words):
        command = qemu.linux(archive, modules, words, options.machine, disk=disk, mount="vfat")
        return FILE / MIB / between(command)

    for _ in range(options.pairs):
        disks = fat_disk("fat-soil"), fat_disk("fat-linux")
        words = ["write", "file", str(FILE)]
        write.add(soil(disks[0], words), linux(disks[1], words))
        words = ["read", "file"]
        read.add(soil(disks[0], words), linux(disks[1], words))
    return [read, write]
