#!/bin/sh
# bare.sh bookworm|trixie [TARGET…]: what a fresh clone does on a bare Debian 12 or 13, here in a folder made by debootstrap (root). Without targets:
# `make run CHECK=1`, set-up a second time, and `make unsetup`. The mirror and the added certificate authorities are this
# machine's. The folder (SOIL_BARE, some 5 GB) stays for the next time.
set -eu
cd "$(dirname "$0")/../.."
suite=$1
shift
case $suite in bookworm | trixie) ;; *) echo "usage: $0 bookworm|trixie [TARGET…]" >&2; exit 2 ;; esac
command -v debootstrap >/dev/null || { echo "bare: run  apt-get install debootstrap" >&2; exit 1; }
root=${SOIL_BARE:-/var/tmp/soil-bare}/$suite
mirror=$(cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null |
  sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb  *\(\[[^]]*\] *\)\{0,1\}\([^ ]*\) .*/\2/p' | grep -v security | head -n 1)

if [ ! -f "$root/etc/debian_version" ]; then
  mkdir -p "$root"
  debootstrap --variant=minbase --include=make,git "$suite" "$root" "$mirror"
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"
mkdir -p "$root/usr/local/share"
[ ! -d /usr/local/share/ca-certificates ] || cp -r /usr/local/share/ca-certificates "$root/usr/local/share/"
# Everything goes with this shell's mount namespace. The folder becomes its root: in a mere chroot passt can't make its user namespace.
if [ -z "${SOIL_BARE_INSIDE:-}" ]; then
  SOIL_BARE_INSIDE=1 exec unshare --mount "$0" "$suite" "$@"
fi
rm -rf "$root/src"
git clone -q . "$root/src"
mount --rbind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mkdir -p "$root/mnt"
cd "$root"
pivot_root . mnt
inside() { /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@" </dev/null; }
inside umount -l /mnt

if [ $# -gt 0 ]; then
  inside make -C /src "$@"
  exit
fi
inside make -C /src run CHECK=1
inside make -C /src ready-run
inside make -C /src unsetup
left=$(inside sh -c 'grep -l "Added by Soil" -r /etc/apt; ls /var/lib/soil-setup 2>/dev/null' || true)
[ -z "$left" ] || { echo "bare: make unsetup left: $left" >&2; exit 1; }
echo "bare $suite: fine"
