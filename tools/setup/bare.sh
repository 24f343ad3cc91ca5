#!/bin/sh
# bare.sh MACHINE [TARGET…]: tests a fresh clone on a machine, simulated in a folder made by
# debootstrap (root). Machines:
#   bookworm, trixie, forky          a bare Debian 12, 13 or testing
#   bookworm-qemu-utils              with qemu-utils of Debian 13; bookworm-qemu-utils-backports: of backports; their sources are removed again
#   bookworm-ocaml, bookworm-rust    with the packages of Debian 12, which are too old; bookworm-user-ocaml, bookworm-user-rust: in /usr/local
#   bookworm-trixie-500, -100        with a source of Debian 13 at this priority
# Without targets: `make run CHECK=1`, set-up a second time, and `make unsetup`. The mirror and the
# added certificate authorities are this machine's. The folder (below SOIL_BARE, by default in root's
# ~/.cache/soil, some 5 GB) stays for the next time.
set -eu
cd "$(dirname "$0")/../.."
machine=${1:-}
suite=${machine%%-*}
case ${machine#"$suite"} in
'' | -qemu-utils | -qemu-utils-backports | -ocaml | -rust | -user-ocaml | -user-rust | -trixie-500 | -trixie-100) ;;
*) suite= ;;
esac
case $suite in
bookworm | trixie | forky) shift ;;
*)
  sed -n '2,/^set -eu/p' "$0" | sed '$d;s/^# \{0,1\}//' >&2
  exit 2
  ;;
esac
folder=${SOIL_BARE:-${XDG_CACHE_HOME:-$HOME/.cache}/soil/bare}
# Root writes there, so nobody else may be able to put links in it: all folders on the way belong to
# root, and others can write to none, unless it is sticky and not the last.
foreign() {
  place=$1 others='-perm /022'
  [ "$(cd -P "$place" && pwd)" = "$place" ] || { echo "$place: a link on the way"; return; }
  while :; do
    find "$place" -maxdepth 0 \( ! -user 0 -o $others \) -print
    [ "$place" != / ] || return 0
    place=$(dirname "$place") others='-perm /022 ! -perm -1000'
  done
}
existing=$folder
while [ ! -e "$existing" ] && [ ! -h "$existing" ]; do existing=$(dirname "$existing"); done
[ "$existing" = "$folder" ] || [ -k "$existing" ] || found=$(foreign "$existing")
if [ -z "${found:-}" ]; then
  (umask 077 && mkdir -p "$folder")
  found=$(foreign "$folder")
fi
[ -z "$found" ] || { echo "bare: $folder: others than root may write here: $found; give a path without links in SOIL_BARE, such as /root/soil-bare" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "bare: run  apt-get install debootstrap" >&2; exit 1; }
root=$folder/$machine
base=$folder/base/$suite
mirror=$(cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null |
  sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb  *\(\[[^]]*\] *\)\{0,1\}\([^ ]*\) .*/\2/p' | grep -v security | head -n 1)

if [ ! -f "$base/etc/debian_version" ]; then
  rm -rf "$base.part"
  mkdir -p "$base.part"
  # Debian's releases share one script. An older debootstrap doesn't know the newest release.
  script=$(ls "/usr/share/debootstrap/scripts/$suite" /usr/share/debootstrap/scripts/sid 2>/dev/null | head -n 1)
  debootstrap --variant=minbase --include=make,git "$suite" "$base.part" "$mirror" "$script"
  mv "$base.part" "$base"
fi
if [ ! -f "$root/etc/debian_version" ]; then
  mkdir -p "$root"
  cp -a --reflink=auto "$base/." "$root"
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"
mkdir -p "$root/usr/local/share"
[ ! -d /usr/local/share/ca-certificates ] || cp -r /usr/local/share/ca-certificates "$root/usr/local/share/"
# All mounts end with this shell's mount namespace. The folder becomes its root: in a plain chroot
# passt can't create its user namespace.
if [ -z "${SOIL_BARE_INSIDE:-}" ]; then
  SOIL_BARE_INSIDE=1 exec unshare --mount "$0" "$machine" "$@"
fi
rm -rf "$root/src"
git clone -q . "$root/src"
mount --rbind "$root" "$root"
# All machines share apt's archives.
mkdir -p "$folder/archives"
mount --bind "$folder/archives" "$root/var/cache/apt/archives"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mkdir -p "$root/mnt"
cd "$root"
pivot_root . mnt
inside() { /usr/bin/env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@" </dev/null; }
inside umount -l /mnt

get() { inside apt-get install -q -y --no-install-recommends "$@"; }
# another RELEASE PACKAGE: installs it from a source that is removed afterwards.
another() {
  echo "deb $mirror $1 main" >/etc/apt/sources.list.d/another.list
  inside apt-get update -q
  get -t "$1" "$2"
  rm /etc/apt/sources.list.d/another.list
}
# stand_in NAME ANSWER: prints its version, and fails for any other argument.
stand_in() {
  printf '#!/bin/sh\ncase "$*" in -version | --version | -vV | "ocamlopt -version") echo "%s" ;; *) echo "$0 was asked: $*" >&2; exit 99 ;; esac\n' "$2" >"/usr/local/bin/$1"
  chmod +x "/usr/local/bin/$1"
}
prepare() {
  # The Release file of a mirror that is no longer updated has expired.
  echo 'Acquire::Check-Valid-Until "false";' >/etc/apt/apt.conf.d/mine
  inside apt-get update -q
  case ${machine#"$suite"} in
  -qemu-utils) another trixie qemu-utils ;;
  -qemu-utils-backports) another bookworm-backports qemu-utils ;;
  -ocaml) get ocaml ocaml-findlib ocaml-dune liblwt-ocaml-dev ;;
  -rust) get rustc cargo ;;
  -user-ocaml) for name in ocamlopt ocamlc ocamlfind; do stand_in $name 4.14.1; done ;;
  -user-rust)
    stand_in rustc 'rustc 1.70.0 (90c541806 2023-05-31)'
    stand_in cargo 'cargo 1.70.0 (ec8a8a0ca 2023-04-25)'
    ;;
  -trixie-*)
    echo "deb $mirror trixie main" >/etc/apt/sources.list.d/mine.list
    printf 'Package: *\nPin: release n=trixie\nPin-Priority: %s\n' "${machine##*-}" >/etc/apt/preferences.d/mine
    ;;
  esac
}
if [ ! -f /prepared ]; then
  prepare
  touch /prepared
fi
if [ $# -gt 0 ]; then
  inside make -C /src "$@"
  exit
fi
# No package installed before may be removed.
inside dpkg-query -W -f '${Package}\n' | sed 's/t64$//' | sort >/before
inside make -C /src run CHECK=1
inside make -C /src ready-run
lost=$(inside dpkg-query -W -f '${db:Status-Status}=${Package}\n' | sed -n '/^installed=/{s///; s/t64$//; p;}' | sort | comm -23 /before -)
inside make -C /src unsetup
left=$(inside sh -c 'grep -l "Added by Soil" -r /etc/apt; ls /var/lib/soil-setup 2>/dev/null' || true)
[ -z "$lost" ] || { echo "bare: set-up removed:" $lost >&2; exit 1; }
[ -z "$left" ] || { echo "bare: make unsetup left: $left" >&2; exit 1; }
echo "bare $machine: fine"
