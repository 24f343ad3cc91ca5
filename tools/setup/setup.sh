#!/bin/sh
# Installs what Soil needs on Debian 12 and 13. `make` calls it before each target; when nothing is missing it costs a few
# milliseconds. Other systems: install what `setup.sh list GROUP` names by their own means and put it on PATH.
#
#   setup.sh ensure run|test|bench|doc   install what is missing (system packages as root, Rust for this user)
#   setup.sh packages run|test|bench|doc only the system packages (root)
#   setup.sh list run|test|bench|doc     print the package names
#   setup.sh toolchain                   the rustup toolchain to ask for when the default one is too old, else nothing
#   setup.sh remove                      take back the Debian 13 source, its pin and what came from it (root)
#
# SOIL_ROOT_DIRECTORY=DIR (tests) stands before /etc and /var of the files written here.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
. "$here/packages.sh"

etc=${SOIL_ROOT_DIRECTORY:-}/etc/apt
source_file=$etc/sources.list.d/soil-setup.sources
pin_file=$etc/preferences.d/soil-setup
record=${SOIL_ROOT_DIRECTORY:-}/var/lib/soil-setup/packages

say() { printf 'setup: %s\n' "$*" >&2; }
fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

# Debian's ocamlfind, or none at all: OCaml comes from packages. Another one (opam) is used as it is.
ocaml_is_ours() {
  found=$(command -v ocamlfind || command -v ocamlopt || true)
  case $found in '' | /usr/bin/*) return 0 ;; *) return 1 ;; esac
}

# at_least VERSION MINIMUM: compares dotted numbers.
at_least() {
  lowest=$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)
  [ "$lowest" = "$2" ]
}

# The packages of a group, one for each line: OCaml's own and its libraries, unless the user brings them, then the rest.
ocaml_packages() {
  ocaml_is_ours || return 0
  case $1 in
  run) echo "$ocaml_run" ;;
  test | bench) echo "$ocaml_run $ocaml_test" ;;
  doc) echo "$ocaml_run $ocaml_doc" ;;
  esac
}
system_packages() {
  case $1 in
  run | doc) echo "$system_run" ;;
  test) echo "$system_run $system_test" ;;
  bench) echo "$system_run $system_test $system_bench" ;;
  *) fail "unknown group '$1': run, test, bench or doc" ;;
  esac
}

# missing NAME…: those that dpkg doesn't have installed.
missing() {
  [ $# -gt 0 ] || return 0
  installed=" $(dpkg-query -W -f '${db:Status-Status}=${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed=//p' | tr '\n' ' ')"
  for name in "$@"; do
    case $installed in *" $name "*) ;; *) printf '%s ' "$name" ;; esac
  done
}

# The priority apt gives to Debian 13, or nothing when no source names it.
trixie_priority() {
  apt-cache policy | awk '
    /^ *-?[0-9]+ / { priority = $1 }
    /^ +release .*n=trixie(,|$)/ && /o=Debian,/ { if (priority > best || best == "") best = priority }
    END { print best }'
}

candidate() { apt-cache policy "$1" | sed -n 's/^ *Candidate: //p'; }

# The machine's own Debian archive entry ("URIs", "Signed-By" lines of deb822 form) for Debian 12, from either format.
# The host name is the machine's: Soil names none.
own_archive() {
  for file in "$etc"/sources.list.d/*.sources; do
    [ -f "$file" ] || continue
    awk -v RS='' -f "$here/stanza.awk" "$file"
  done
  for file in "$etc"/sources.list "$etc"/sources.list.d/*.list; do
    [ -f "$file" ] || continue
    awk -f "$here/oneline.awk" "$file"
  done
}

add_trixie() {
  archive=$(own_archive | sed '/^$/q')
  [ -n "$archive" ] || fail "no Debian 12 archive in $etc/sources.list*: add a source for 'trixie' yourself, or put OCaml >= 5.2, dune and findlib on PATH (opam)"
  say "Debian 12 has no OCaml 5: adding Debian 13 ('trixie') of this machine's own mirror at priority 100, so that only OCaml, rustup and what they depend on come from it ('make unsetup' takes it back)"
  mkdir -p "$(dirname "$source_file")" "$(dirname "$pin_file")"
  printf '# Added by Soil (make setup); make unsetup removes it.\nTypes: deb\nSuites: trixie\nComponents: main\n%s\n' "$archive" >"$source_file"
  printf '# Added by Soil (make setup); make unsetup removes it.\nPackage: *\nPin: release n=trixie\nPin-Priority: 100\n' >"$pin_file"
  if ! apt-get update -q; then
    rm -f "$source_file" "$pin_file"
    fail "apt-get update failed with Debian 13 added, so it was taken out again: is debian-archive-keyring up to date (12.10 or later) and does this machine's mirror carry trixie?"
  fi
}

# apt_install TARGET-RELEASE-or-"" PACKAGE…: never removes a package to install another.
apt_install() {
  from=$1
  shift
  [ $# -gt 0 ] || return 0
  set -- ${from:+-t "$from"} --no-install-recommends "$@"
  plan=$(apt-get -s install "$@") || fail "apt cannot install these packages; 'apt-get -s install $*' says why"
  # A library that Debian 13 renamed for 64-bit time (libssl3, libssl3t64) is replaced, not lost.
  removed=$(printf '%s\n' "$plan" | awk '
    $1 == "Inst" { installed[$2] }
    $1 == "Remv" { gone[$2] }
    END { for (name in gone) if (!((name "t64") in installed)) printf "%s ", name }')
  [ -z "$removed" ] || fail "installing $* would remove $removed; run 'apt-get install $*' yourself if that is right"
  say "installing: $*"
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -q -y "$@" >&2
}

packages() {
  ocaml=$(missing $(ocaml_packages "$1"))
  system=$(missing $(system_packages "$1"))
  rust=
  rust_present || rust=$(missing rustup)
  [ -n "$ocaml$system$rust" ] || return 0
  [ "$(id -u)" = 0 ] || fail "packages are missing: $ocaml$system$rust
setup: run as root:  $here/setup.sh packages $1"
  say "apt-get update"
  apt-get update -q >&2 || fail "apt-get update failed: check this machine's apt sources and its network"
  # Debian 12 (or a Debian 13 source at low priority): everything of OCaml comes from trixie, the rest from the machine's release.
  release=
  if [ -n "$ocaml$rust" ]; then
    priority=$(trixie_priority)
    if [ -z "$priority" ] && ! dpkg --compare-versions "$(candidate ocaml-nox)" ge 5.2; then
      add_trixie
      priority=100
    fi
    if [ -n "$priority" ] && [ "$priority" -lt 500 ]; then release=trixie; fi
  fi
  apt_install '' $system
  before=$(mktemp)
  dpkg-query -W -f '${Package}\n' | sort >"$before"
  apt_install "$release" $ocaml $rust
  if [ -n "$release" ] && [ -f "$source_file" ]; then
    # What was asked for, and what came along.
    mkdir -p "$(dirname "$record")"
    for name in $ocaml $rust; do echo "asked $name"; done >>"$record"
    dpkg-query -W -f '${Package}\n' | sort | comm -13 "$before" - | sed 's/^/came /' >>"$record"
  fi
  rm -f "$before"
}

# Rust: what is on PATH (or in ~/.cargo/bin) if recent enough, else a toolchain of rustup's.
rust_version() {
  PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin rustc --version 2>/dev/null | sed -n 's/^rustc \([0-9.]*\).*/\1/p'
}
rust_present() {
  command -v rustup >/dev/null || [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/rustup" ] && return 0
  version=$(rust_version)
  [ -n "$version" ] && at_least "$version" "$rust_minimum"
}
rust() {
  export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
  version=$(rust_version)
  if [ -z "$version" ] || ! at_least "$version" "$rust_minimum"; then
    command -v rustup >/dev/null || fail "Rust >= $rust_minimum is missing (found: ${version:-none}): put one on PATH, or as root: $here/setup.sh packages run"
    say "installing Rust $rust_toolchain for this user with rustup"
    rustup toolchain install "$rust_toolchain" --profile minimal --component rustfmt --component clippy >&2 ||
      fail "rustup could not install Rust $rust_toolchain: check the network, or put Rust >= $rust_minimum on PATH"
    # The user's default stays what it was: the Makefile asks for this toolchain by name.
  fi
  [ "$1" = test ] || [ "$1" = bench ] || return 0
  RUSTUP_TOOLCHAIN=${RUSTUP_TOOLCHAIN:-$("$0" toolchain)}
  if [ -n "$RUSTUP_TOOLCHAIN" ]; then export RUSTUP_TOOLCHAIN; else unset RUSTUP_TOOLCHAIN; fi
  cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 && return 0
  command -v rustup >/dev/null || fail "rustfmt and clippy are missing beside $(command -v cargo): make test needs them"
  rustup component add rustfmt clippy >&2
}

# An OCaml of the user's own: nothing is installed into it, the command that does is named.
check_own_ocaml() {
  ocaml_is_ours && return 0
  version=$(ocamlfind ocamlopt -version 2>/dev/null || ocamlopt -version 2>/dev/null || echo 0)
  at_least "$version" 5.2 || fail "$(command -v ocamlfind || command -v ocamlopt) is OCaml $version and Soil needs 5.2 or later: run  opam switch create 5.3.0  (or take it off PATH to use Debian's)"
  command -v dune >/dev/null || fail "dune is missing beside OCaml $version: run  opam install dune"
  at_least "$(dune --version)" 3.17 || fail "dune $(dune --version) is too old: run  opam install 'dune>=3.17'"
  libraries=$findlib_run
  [ "$1" = run ] || libraries="$libraries $findlib_test"
  absent=
  for library in $libraries; do
    ocamlfind query "$library" >/dev/null 2>&1 || absent="$absent $library"
  done
  [ -z "$absent" ] || fail "this OCaml lacks libraries: run  opam install$absent"
}

# The Linux kernel that tests and benchmarks boot as a peer: its files only, nothing is installed.
kernel() {
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/soil/linux
  [ ! -f "$cache/vmlinuz" ] || return 0
  package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
  [ -n "$package" ] || fail "apt knows no linux-image-cloud-amd64: run  apt-get update  as root"
  say "fetching $package for the Linux guest of the tests (unpacked into $cache, not installed)"
  mkdir -p "$cache"
  scratch=$(mktemp -d)
  # apt drops its privileges to fetch: the folder has to be open to it.
  chmod 755 "$scratch"
  (cd "$scratch" && apt-get download -q "$package" >&2 && dpkg -x ./*.deb tree) || fail "apt-get download $package failed"
  rm -rf "$cache/modules"
  cp -r "$scratch"/tree/usr/lib/modules "$cache/modules" 2>/dev/null || cp -r "$scratch"/tree/lib/modules "$cache/modules"
  cp "$scratch"/tree/boot/vmlinuz-* "$cache/vmlinuz.part"
  mv "$cache/vmlinuz.part" "$cache/vmlinuz"
  rm -rf "$scratch"
}

# recorded WORD: the names with this word in the record that are still installed.
recorded() {
  names=$(sed -n "s/^$1 //p" "$record" | sort -u)
  absent=" $(missing $names)"
  for name in $names; do
    case $absent in *" $name "*) ;; *) echo "$name" ;; esac
  done
}

# What apt would remove, one for each line, in the order of sort.
would_remove() { apt-get -s "$@" | sed -n 's/^Remv \([^ ]*\).*/\1/p' | sort; }

remove() {
  if [ ! -f "$source_file" ] && [ ! -f "$pin_file" ]; then
    say "no Debian 13 source of ours on this machine: nothing to take back"
    return 0
  fi
  [ "$(id -u)" = 0 ] || fail "run as root:  $here/setup.sh remove"
  export DEBIAN_FRONTEND=noninteractive
  if [ -f "$record" ]; then
    asked=$(recorded asked)
    if [ -n "$asked" ]; then
      came=$(mktemp)
      sed 's/^[a-z]* //' "$record" | sort -u >"$came"
      foreign=$(would_remove remove $asked | comm -23 - "$came" | tr '\n' ' ')
      if [ -z "$(printf %s "$foreign" | tr -d ' ')" ]; then
        apt-get remove -q -y $asked >&2
        # Of what came along, that which nothing needs any more; the rest is in use by now (libc6).
        unneeded=$(would_remove autoremove | comm -12 - "$came")
        if [ -n "$unneeded" ]; then apt-get remove -q -y $unneeded >&2; fi
      else
        say "left installed, because $foreign would go with them:" $asked
      fi
      rm -f "$came"
    fi
    rm -f "$record"
    rmdir "$(dirname "$record")" 2>/dev/null || true
  fi
  rm -f "$source_file" "$pin_file"
  apt-get update -q >&2 || true
  say "Debian 13 is no longer a source; libraries that the system uses by now (libc6) stay as they are: Debian has no way back to older ones"
}

debian() { command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; }

group=${2:-run}
case ${1:-} in
ensure)
  if debian; then packages "$group"; fi
  check_own_ocaml "$group"
  rust "$group"
  if debian && { [ "$group" = test ] || [ "$group" = bench ]; }; then kernel; fi
  ;;
packages) packages "$group" ;;
list) echo "$(ocaml_packages "$group") $(system_packages "$group") rustup" | tr -s ' \n' '\n' ;;
toolchain)
  version=$(rust_version)
  if { [ -z "$version" ] || ! at_least "$version" "$rust_minimum"; } && rustup run "$rust_toolchain" rustc --version >/dev/null 2>&1; then
    echo "$rust_toolchain"
  fi
  ;;
remove) remove ;;
*)
  sed -n '2,/^set -eu/p' "$0" | sed '$d;s/^# \{0,1\}//'
  exit 2
  ;;
esac
