#!/bin/sh
# Installs what Soil needs on Debian 12, 13 and testing, and removes nothing for it. `make` calls it
# before each target; when nothing is missing it costs some milliseconds. Other systems: install
# what `setup.sh list GROUP` prints by their own means and put it on PATH.
#
#   setup.sh ensure run|test|bench|doc   install what is missing (system packages as root, Rust for this user)
#   setup.sh ensure aarch64              what images for arm64 need beside that (cross.sh)
#   setup.sh has-aarch64                 whether what this fetches for arm64 is there (status)
#   setup.sh packages run|test|bench|doc only the system packages (root)
#   setup.sh list run|test|bench|doc     print the package names
#   setup.sh environment                 shell commands that put a suitable OCaml and Rust first on PATH, where those on it are too old
#   setup.sh kernel [cloud-amd64|amd64|cloud-arm64]  fetch the Linux kernel of the tests' guest, the displays' peer (arm64 on such a machine), or the peer of images for arm64; print its folder
#   setup.sh libraries                   fetch the libraries of the tests' services that aren't installed
#   setup.sh vhost-device-vsock          build the device of the tests' machines without /dev/vhost-vsock; print its path
#   setup.sh nginx                       fetch the HTTP server of tests and benchmarks; print its path
#   setup.sh loaders                     fetch the boot loaders of the benchmarks' Linux disks; print their folder
#   setup.sh remove                      remove the added apt sources, their pin and the packages from them (root)
#
# SOIL_ROOT_DIRECTORY=DIR (tests) is a prefix for /etc and /var of the files written here, and for
# /usr/bin of Debian's Rust.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
. "$here/packages.sh"
. "$here/apt.sh"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/soil
# Debian's name of this machine's processor.
case $(uname -m) in aarch64) processor=arm64 ;; *) processor=amd64 ;; esac

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }
debian() { command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; }

# reaches VERSION MINIMUM: compares dotted numbers, also without dpkg.
reaches() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

# Whether an OCaml on PATH isn't Debian's: opam's, or the user's own build.
ocaml_of_the_user() {
  for program in ocamlfind ocamlopt; do
    case $(command -v "$program") in '' | /usr/bin/* | /bin/*) ;; *) return 0 ;; esac
  done
  return 1
}
ocaml_version() {
  { ocamlopt -version; ! command -v ocamlfind || ocamlfind ocamlopt -version; } 2>/dev/null | grep '^[0-9]' | sort -V | head -n 1
}
# Whether OCaml comes from Debian's packages: PATH has no other, or one that is too old. A recent
# enough one is used.
ocaml_is_ours() {
  ocaml_of_the_user || return 0
  version=$(ocaml_version)
  ! reaches "${version:-0}" 5.2 && debian
}

# The packages of a group: OCaml and its libraries, unless the user provides them; then the rest.
ocaml_packages() {
  ocaml_is_ours || return 0
  case $1 in
  run | aarch64) echo "$ocaml_run" ;;
  test | bench) echo "$ocaml_run $ocaml_test" ;;
  doc) echo "$ocaml_run $ocaml_doc" ;;
  esac
}
system_packages() {
  case $1 in
  run) echo "$system_run" ;;
  doc) echo "$system_run $system_doc" ;;
  test) echo "$system_run $system_test" ;;
  bench) echo "$system_run $system_test $system_bench" ;;
  aarch64) echo "$system_run $system_aarch64" ;;
  *) fail "unknown group '$1': run, test, bench, doc or aarch64" ;;
  esac
}

# Rust: the one on PATH (or in ~/.cargo/bin) if recent enough, else a toolchain of rustup's, by its
# folder: RUSTUP_TOOLCHAIN has no effect on another cargo that comes first on PATH.
rust_version() {
  PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin rustc --version 2>/dev/null | sed -n 's/^rustc \([0-9.]*\).*/\1/p'
}
rust_will_do() {
  version=$(rust_version)
  [ -n "$version" ] && reaches "$version" "$rust_minimum" && [ -n "$(cargo_in_use)" ]
}
cargo_in_use() (
  PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
  command -v cargo
)
rust_of_the_user() { case $(cargo_in_use) in '' | "${SOIL_ROOT_DIRECTORY:-}"/usr/bin/*) return 1 ;; esac }
toolchain() {
  for folder in "${RUSTUP_HOME:-$HOME/.rustup}/toolchains/$rust_toolchain"-*; do
    # rustup writes this file last: it is missing after an interrupted installation.
    if [ -f "$folder/lib/rustlib/multirust-channel-manifest.toml" ]; then echo "$folder/bin" && return; fi
  done
}
# The rustup to use: the user's, the system's, or Debian's, unpacked here.
rustup_program() {
  for program in "$(command -v rustup)" "${CARGO_HOME:-$HOME/.cargo}/bin/rustup" "$cache/rustup/usr/bin/rustup"; do
    if [ -x "$program" ]; then echo "$program" && return; fi
  done
}
rust_present() { rust_will_do || [ -n "$(toolchain)$(rustup_program)" ]; }

rust_packages() {
  echo "$rust_own"
  case $1 in test | bench) echo "$rust_own_test" ;; esac
}
# The tests' additions to the Rust in use, if it is one of Debian's packages.
rust_tools() {
  case $1 in test | bench) ;; *) return 0 ;; esac
  ! rust_of_the_user && rust_will_do || return 0
  case $(missing cargo cargo-web) in
  'cargo-web ') echo "$rust_own_test" ;;
  'cargo ') echo "$rust_web_test" ;;
  esac
}

# Installs Debian's Rust from apt's sources; fails if they have no recent enough one, or if it would
# come after the user's on PATH.
debian_rust() {
  ! rust_of_the_user || return 1
  for names in "$rust_own" "$rust_web"; do
    # It has no clippy, which CI needs.
    [ "$names" != "$rust_web" ] || [ -z "${CI:-}" ] || return 1
    if choose_known $names; then
      apt_install "$chosen" $names
      return 0
    fi
  done
  return 1
}

# Installs the dependencies of rustup's package: rust() below unpacks it.
rustup_libraries() {
  [ -n "$(rustup_needs)" ] || fail "none of this machine's sources has Rust >= $rust_minimum or rustup: put Rust >= $rust_minimum on PATH"
  needs=$(rustup_needs)
  oldest="$oldest $(echo $needs)"
  install_together $(missing $(echo "$needs" | sed 's/=.*//'))
}

# apt's configuration for packages of another processor (cross.sh), for `unpack`, too.
foreign=

# unpack FOLDER PACKAGE…: only their files, without installing. Debian's rustup can't be installed
# beside Debian's cargo.
unpack() {
  target=$1
  shift
  scratch=$(mktemp -d) || fail "no folder for packages: make room in ${TMPDIR:-/tmp}, or set TMPDIR"
  # apt drops its privileges to fetch: the folder must be accessible.
  chmod 755 "$scratch"
  (
    cd "$scratch" && apt-get ${foreign:+-c "$foreign"} download -q "$@" >&2 || exit 1
    for package in ./*.deb; do dpkg -x "$package" tree || exit 1; done
  ) || fail "apt-get download $* failed: check this machine's apt sources and its network"
  mkdir -p "$(dirname "$target")"
  rm -rf "$target" "$target.part"
  cp -r "$scratch/tree" "$target.part"
  mv "$target.part" "$target"
  rm -rf "$scratch"
}

# Dependencies of rustup's package, with minimum versions in $oldest's form.
rustup_needs() {
  apt-cache show --no-all-versions rustup 2>/dev/null | sed -n 's/^Depends: //p' | tr ',' '\n' |
    sed -n 's/^ *\([a-z0-9.+-]*\) (>= \([^)]*\)).*/\1=\2/p'
}

# The tests start their own PostgreSQL: its package must not create and start one.
without_database() {
  folder=${SOIL_ROOT_DIRECTORY:-}/etc/postgresql-common
  [ ! -e "$folder/createcluster.conf" ] || return 0
  mkdir -p "$folder"
  printf '# Written by Soil (make setup): its tests start a server of their own.\ncreate_main_cluster = false\n' >"$folder/createcluster.conf"
}

# Of the packages of the examples and tests those that a program links. Debian 13's archive of
# OpenSSL needs the last two, which no package depends on.
linked() {
  # shellcheck disable=SC2086
  printf '%s\n' $ocaml_run $ocaml_test $ocaml_unpacked | grep -e '-ocaml-dev$' | grep -v -e mdx
  printf '%s\n' zlib1g-dev libzstd-dev
}

packages() {
  wanted=$(ocaml_packages "$1")
  ocaml=$(missing $wanted)
  # The libraries' versions must match the compiler's.
  case " $ocaml" in *' ocaml '*) ocaml=$wanted ;; esac
  system=$(missing $(system_packages "$1"))
  tools=$(missing $(rust_tools "$1"))
  rust=
  rust_present || rust=$rust_own
  [ -n "$ocaml$system$tools$rust" ] || return 0
  [ "$(id -u)" = 0 ] || fail "packages are missing: $(echo $system $ocaml $tools $rust)
setup: run as root:  $here/setup.sh packages $1"
  finish_interrupted
  say "apt-get update"
  update || fail "apt-get update failed: check this machine's apt sources and its network"
  case " $system" in *' postgresql '*) without_database ;; esac
  install_any $system
  install_together $ocaml
  if [ -n "$rust" ]; then
    debian_rust || { add_releases && debian_rust; } || rustup_libraries
  fi
  install_together $(missing $(rust_tools "$1"))
}

rust() {
  if ! rust_will_do && [ -z "$(toolchain)" ]; then
    rustup=$(rustup_program)
    if [ -z "$rustup" ] && debian; then
      say "unpacking Debian's rustup into $cache"
      unpack "$cache/rustup" rustup
      rustup=$(rustup_program)
    fi
    found=$(rust_version)
    [ -n "$rustup" ] || fail "Rust >= $rust_minimum is missing (found: ${found:-none}): put one on PATH"
    say "installing Rust $rust_toolchain for this user with rustup (found on PATH: ${found:-none})"
    # rustup would keep the files of an interrupted installation.
    rm -rf "${RUSTUP_HOME:-$HOME/.rustup}/toolchains/$rust_toolchain"-*
    # The user's default stays unchanged.
    "$rustup" toolchain install "$rust_toolchain" --profile minimal --component rustfmt --component clippy --no-self-update >&2 ||
      fail "rustup could not install Rust $rust_toolchain: check the network, or put Rust >= $rust_minimum on PATH"
  fi
  [ "$1" = test ] || [ "$1" = bench ] || return 0
  eval "$(environment)"
  export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
  cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 && return 0
  rustup=$(rustup_program)
  if [ -n "$rustup" ] && [ -z "$(rust_tools "$1")" ]; then
    "$rustup" component add rustfmt clippy >&2
    return
  fi
  cargo fmt --version >/dev/null 2>&1 || fail "rustfmt is missing beside $(command -v cargo): make test needs it"
  # make test reports that it leaves clippy out.
  [ -z "${CI:-}" ] || fail "clippy is missing beside $(command -v cargo), and CI needs it: put a Rust that has it on PATH"
}

# The user's own OCaml: nothing is installed into it; a message names the command to run.
check_own_ocaml() {
  if ocaml_is_ours; then
    ocaml_of_the_user || return 0
    # The user's is too old: Debian's programs precede it, and nothing else of /usr/bin.
    rm -rf "$cache/ocaml"
    mkdir -p "$cache/ocaml"
    ln -s /usr/bin/ocaml* "$cache/ocaml"
    for program in dune odoc; do
      if [ -x "/usr/bin/$program" ]; then ln -s "/usr/bin/$program" "$cache/ocaml"; fi
    done
    return 0
  fi
  version=$(ocaml_version)
  reaches "${version:-0}" 5.2 || fail "$(command -v ocamlfind || command -v ocamlopt) is OCaml $version and Soil needs 5.2 or later: run  opam switch create 5.4.1"
  command -v dune >/dev/null || fail "dune is missing beside OCaml $version: run  opam install dune"
  reaches "$(dune --version)" 3.17 || fail "dune $(dune --version) is too old: run  opam install 'dune>=3.17'"
  libraries=$findlib_run
  [ "$1" = run ] || libraries="$libraries $findlib_test"
  absent=
  for library in $libraries; do
    ocamlfind query "$library" >/dev/null 2>&1 || absent="$absent $library"
  done
  [ -z "$absent" ] || fail "this OCaml lacks libraries: run  opam install$absent"
}

environment() {
  front=
  if ocaml_of_the_user && ocaml_is_ours && [ -d "$cache/ocaml" ]; then
    front=$cache/ocaml:
    echo 'unset OCAMLPATH OCAMLFIND_CONF OCAMLLIB CAMLLIB CAML_LD_LIBRARY_PATH OCAML_TOPLEVEL_PATH OPAM_SWITCH_PREFIX'
  fi
  if ! rust_will_do; then
    folder=$(toolchain)
    if [ -n "$folder" ]; then
      front=$front$folder:
      echo 'unset RUSTUP_TOOLCHAIN'
    fi
  fi
  if [ -n "$front" ]; then echo "export PATH='$front'\"\$PATH\""; fi
  # For the loader of disks for arm64, a part of each installation.
  if [ -d "$cache/aarch64/rust" ]; then (PATH=$front$PATH "$here/cross.sh" rust-environment); fi
  if ocaml_is_ours && [ -f "$cache/libraries/.of" ]; then
    folder=$cache/libraries$(PATH=$front$PATH ocamlopt -where)
    echo "export OCAMLPATH='$folder'\"\${OCAMLPATH:+:\$OCAMLPATH}\""
  fi
}

# libraries_from RELEASE-or-"": sets $files to the OCaml packages that apt would install for
# $ocaml_unpacked, with their versions. Fails if apt can't, or would change the version of an
# installed one.
libraries_from() {
  # shellcheck disable=SC2086
  plan=$(LC_ALL=C apt-get -s install --no-install-recommends ${1:+-t "$1"} $ocaml_unpacked 2>/dev/null) || return 1
  files=$(printf '%s\n' "$plan" | sed -n 's/^Inst \([^ ]*-ocaml\(-dev\)\{0,1\}\) (\([^ ]*\) .*/\1=\3/p')
  ! printf '%s\n' "$plan" | grep -q '^Inst [^ ]*-ocaml\(-dev\)\{0,1\} \['
}

# The files of $ocaml_unpacked and of their dependencies, as far as they aren't installed. They
# belong to the installed libraries, whose versions the folder names.
libraries() {
  ocaml_is_ours || return 0
  folder=$cache/libraries
  # shellcheck disable=SC2086
  of="$ocaml_unpacked $(dpkg-query -W -f '${Package}=${Version}\n' ocaml '*-ocaml-dev' 2>/dev/null | cksum)"
  [ "$(cat "$folder/.of" 2>/dev/null)" != "$of" ] || return 0
  for release in '' $(releases) none; do
    [ "$release" != none ] || fail "no release of Debian among apt's sources has $ocaml_unpacked for the OCaml that is installed: run  apt-get update; apt-get upgrade"
    if libraries_from "$release"; then break; fi
  done
  mkdir -p "$folder"
  if [ -n "$files" ]; then
    say "fetching the libraries of the tests' services (unpacked into $folder, not installed):" $files
    # shellcheck disable=SC2086
    unpack "$folder" $files
  fi
  printf '%s\n' "$of" >"$folder/.of"
}

# The Linux kernel that tests and benchmarks boot as a peer: only its files. The cloud kernel has no
# display drivers.
kernel() {
  case $1 in
  "cloud-$processor") folder=$cache/linux ;;
  "$processor") folder=$cache/linux-$1 ;;
  cloud-arm64)
    folder=$cache/aarch64/linux
    [ -f "$folder/version" ] || foreign=$("$here/cross.sh" apt)
    ;;
  *) fail "no kernel '$1': there are cloud-$processor and $processor, and cloud-arm64 for the peer of images" ;;
  esac
  if [ ! -f "$folder/version" ]; then
    package=$(apt-cache ${foreign:+-c "$foreign"} depends "linux-image-$1" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
    [ -n "$package" ] || fail "apt knows no linux-image-$1: run  apt-get update  as root"
    # Debian 14 has the kernel and its modules in separate packages.
    parts=$(apt-cache ${foreign:+-c "$foreign"} depends "$package" | sed -n 's/^ *Depends: \(linux-binary-[0-9].*\|linux-modules-[0-9].*\)/\1/p')
    say "fetching $package for the Linux guest of the tests (unpacked into $folder, not installed)"
    # shellcheck disable=SC2086
    unpack "$folder" "$package" $parts
    # Debian 12 has them in /lib, later releases in /usr/lib.
    [ -d "$folder/lib/modules" ] || mv "$folder/usr/lib" "$folder/lib"
    basename "$folder"/lib/modules/* >"$folder/version"
  fi
  echo "$folder"
}

# The vhost-user device of sockets to the host, for machines of the tests: not every host has
# /dev/vhost-vsock, and Debian has no package of it.
vhost_device_vsock() {
  version=0.3.0
  folder=$cache/vhost-device-vsock-$version
  if [ ! -x "$folder/bin/vhost-device-vsock" ]; then
    say "building vhost-device-vsock $version in $folder"
    eval "$(environment)"
    PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin cargo install --quiet --locked --root "$folder" \
      --target-dir "$folder/target" --version "$version" vhost-device-vsock >&2 ||
      fail "cargo could not build vhost-device-vsock $version: check the network; tests of vsock are left out without it"
    rm -rf "$folder/target"
  fi
  echo "$folder/bin/vhost-device-vsock"
}

# files FOLDER FILE WHAT PACKAGE…: only the packages' files, in this folder, unless FILE is there.
files() {
  folder=$cache/$1
  if [ ! -e "$folder/$2" ]; then
    say "fetching $3 (unpacked into $folder, not installed)"
    shift 3
    unpack "$folder" "$@"
  fi
}
# The server that soil-http is compared with, and a proxy and a backend in tests: no service starts.
# Its libraries come with the other packages of the group.
nginx() {
  files nginx usr/lib/nginx/modules/ngx_stream_module.so 'nginx for tests and benchmarks' nginx libnginx-mod-stream
  echo "$folder/usr/sbin/nginx"
}
# SYSLINUX and systemd's UEFI stub, which load the Linux disks of the benchmarks.
loaders() {
  # Only PCs have a BIOS.
  case $processor in amd64) bios="syslinux syslinux-common" ;; *) bios= ;; esac
  # shellcheck disable=SC2086
  files loaders usr/lib/systemd/boot 'boot loaders for the benchmarks' $bios systemd-boot-efi
  echo "$folder"
}

group=${2:-run}
case ${1:-} in
ensure)
  [ "$group $processor" != "aarch64 arm64" ] ||
    fail "images for arm64 are this machine's own: run  make build"
  if debian; then packages "$group"; fi
  check_own_ocaml "$group"
  rust "$group"
  if debian && { [ "$group" = test ] || [ "$group" = bench ]; }; then
    kernel "cloud-$processor" >/dev/null
    libraries
    (vhost_device_vsock) >/dev/null || true
    nginx >/dev/null
  fi
  if debian && [ "$group" = bench ]; then loaders >/dev/null; fi
  if [ "$group" = aarch64 ]; then
    eval "$(environment)"
    # shellcheck disable=SC2046
    "$here/cross.sh" ensure $(linked)
    "$here/cross.sh" rust
  fi
  ;;
has-aarch64)
  command -v qemu-system-aarch64 >/dev/null || exit 1
  # shellcheck disable=SC2046
  "$here/cross.sh" missing $(linked) >/dev/null
  ;;
packages) packages "$group" ;;
list) echo "$(ocaml_packages "$group") $(system_packages "$group") $(rust_packages "$group")" | tr -s ' \n' '\n' ;;
environment) environment ;;
kernel) kernel "${2:-cloud-$processor}" ;;
libraries) libraries ;;
vhost-device-vsock) vhost_device_vsock ;;
nginx) nginx ;;
loaders) loaders ;;
remove) restore_sources ;;
*)
  sed -n '2,/^set -eu/p' "$0" | sed '$d;s/^# \{0,1\}//'
  exit 2
  ;;
esac
