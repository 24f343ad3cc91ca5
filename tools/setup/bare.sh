#!/usr/bin/env bash
# bare.sh SUITE COMMAND…: runs a command in a clean clone of this repository's last commit, in a
# Debian (bookworm, trixie, forky) with nothing installed but make, git and certificates, as on a
# newcomer's machine: tools/setup/bare.sh trixie make run CHECK=1
#
# Needs root and debootstrap. The system is made from a cached base, and removed at the end;
# packages, crates and the Rust toolchain are cached. CONTAINER=1 takes away what a container engine does
# by default: TUN, KVM, all but a dozen capabilities. The exit status is the command's, or 77 with
# one line where no such system can be made here.
set -eu
cd "$(dirname "$0")/../.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/soil/bare
left_out() { echo "left out: a bare Debian: $*"; exit 77; }

suite=${1:?bare.sh SUITE COMMAND…}
shift
[ "$(id -u)" = 0 ] || left_out "it needs root"
[ -n "$(command -v debootstrap)" ] || left_out "debootstrap is missing; install it: apt-get install debootstrap"
unshare --mount --pid --fork true 2>/dev/null || left_out "no namespaces can be made here"
git rev-parse -q --verify HEAD >/dev/null || left_out "the sources are no git repository of this user's"
# The package source of this machine's apt.
mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb  *\(\[[^]]*\] *\)\{0,1\}\([^ ]*\) .*/\2/p' \
  /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v security | head -n 1)
[ -n "$mirror" ] || left_out "apt has no source of Debian's packages"

base=$cache/$suite
mkdir -p "$cache/archives" "$cache/systems"
if [ ! -e "$base/etc/debian_version" ]; then
  rm -rf "$base.part"
  script=/usr/share/debootstrap/scripts/$suite
  [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
  debootstrap --variant=minbase --include=make,git,ca-certificates "$suite" "$base.part" "$mirror" "$script" >"$cache/$suite.log" 2>&1 ||
    left_out "debootstrap of $suite failed; $cache/$suite.log says why"
  mv "$base.part" "$base"
fi

root=$(mktemp -d "$cache/systems/$suite.XXXXXX") || exit 1
trap 'rm -rf --one-file-system "$root"' EXIT
cp -a "$base/." "$root"
git clone -q . "$root/soil"
cp /etc/resolv.conf "$root/etc/"
# Certificates that this machine's owner trusts, for a network with a proxy.
[ ! -d /usr/local/share/ca-certificates ] || cp -r /usr/local/share/ca-certificates "$root/usr/local/share/"

status=0
CONTAINER=${CONTAINER:-} unshare --mount --pid --fork --kill-child bash -ec '
  root=$1 archives=$2 rustup=$3 cargo=$4
  shift 4
  mount --rbind "$root" "$root"
  mkdir -p "$root/mnt/old" "$root/root/.rustup" "$root/root/.cargo"
  [ ! -d "$rustup" ] || mount --bind "$rustup" "$root/root/.rustup"
  [ ! -d "$cargo" ] || mount --bind "$cargo" "$root/root/.cargo"
  mount --bind "$archives" "$root/var/cache/apt/archives"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount --rbind /sys "$root/sys"
  cd "$root"
  pivot_root . mnt/old
  cd /soil
  umount -l /mnt/old
  # A login of a new user: nothing of this one but the ways to the network.
  for name in $(compgen -e); do
    case $name in http*_proxy | HTTP*_PROXY | no_proxy | NO_PROXY | CARGO_HTTP_* | CARGO_NET_* | CARGO_REGISTR* | SSL_* | CI | CONTAINER) ;; *) unset "$name" ;; esac
  done
  export HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  update-ca-certificates >/dev/null 2>&1
  # A cached base may be older than its Release file allows.
  echo "Acquire::Check-Valid-Until \"false\";" >/etc/apt/apt.conf.d/99soil
  # Debian removes the packages that it has installed.
  rm -f /etc/apt/apt.conf.d/docker-clean
  [ -n "$CONTAINER" ] || exec "$@"
  mkdir /empty
  mount --bind /empty /dev/net
  [ ! -e /dev/kvm ] || mount --bind /dev/null /dev/kvm
  kept=+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap
  exec setpriv --no-new-privs --inh-caps=-all --bounding-set="-all,$kept" "$@"
' bash "$root" "$cache/archives" "${RUSTUP_HOME:-$HOME/.rustup}" "${CARGO_HOME:-$HOME/.cargo}" "$@" || status=$?
exit "$status"
