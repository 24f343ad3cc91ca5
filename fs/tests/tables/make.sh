#!/bin/sh
# Remakes the tables here, with sfdisk, sgdisk and parted. A table is the sectors of an image
# that aren't zero, in hexadecimal.
set -eu
cd "$(dirname "$0")"
PATH=$PATH:/usr/sbin:/sbin LC_ALL=C.UTF-8
export LC_ALL
image=$(mktemp)
trap 'rm -f "$image"' EXIT

fresh() { rm -f "$image"; truncate -s "$1" "$image"; }
keep() { # NAME SECTOR
    python3 - "$image" "$2" > "$1.txt" <<'PY'
import sys
sector = int(sys.argv[2])
with open(sys.argv[1], "rb") as file:
    image = file.read()
print(sector, len(image) // sector)
for at in range(0, len(image), sector):
    bytes = image[at:at + sector].rstrip(b"\0")
    if bytes:
        print(at // sector, bytes.hex())
PY
}

fresh 64M
sgdisk -n 1:2048:+8M -c 1:boot -t 1:ef00 -n 2:0:+16M -c 2:'Daten über 日本' -n 7:0:0 -c 7:data "$image" > /dev/null
keep sgdisk 512

fresh 64M
sfdisk -q "$image" <<'TABLE'
label: gpt
start=2048, size=8MiB, name="first"
size=20MiB, name="zweite Übung"
name="rest"
TABLE
keep sfdisk-gpt 512

fresh 64M
parted -s "$image" mklabel gpt mkpart one fat32 1MiB 20MiB mkpart two ext4 20MiB 100%
keep parted-gpt 512

fresh 64M
PARTED_SECTOR_SIZE=4096 parted -s "$image" mklabel gpt mkpart large fat32 1MiB 20MiB mkpart rest ext4 20MiB 100%
keep parted-gpt-4096 4096

fresh 64M
sfdisk -q "$image" <<'TABLE'
label: dos
start=2048, size=8MiB, type=c, bootable
size=8MiB, type=83
size=32MiB, type=5
size=8MiB, type=83
size=4MiB, type=83
size=6MiB, type=c
size=8MiB, type=83
TABLE
keep sfdisk-mbr 512

fresh 64M
parted -s "$image" mklabel msdos mkpart primary fat32 1MiB 10MiB mkpart extended 10MiB 100% \
    mkpart logical ext4 11MiB 20MiB mkpart logical ext4 21MiB 30MiB mkpart logical fat32 31MiB 100%
keep parted-mbr 512

# A GPT of a disk that was made larger afterwards, as cloud images are.
fresh 32M
sgdisk -n 1:2048:0 -c 1:root "$image" > /dev/null
truncate -s 64M "$image"
keep sgdisk-grown 512

# Entries in the MBR beside the protective one.
fresh 64M
sgdisk -n 1:2048:+8M -n 2:0:0 -c 2:both -h 1 "$image" > /dev/null
keep sgdisk-hybrid 512
