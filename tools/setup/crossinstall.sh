#!/bin/sh
# Builds Soil's libraries for arm64 and puts them beside the toolchain that cross.sh fetched, where
# the context soil-aarch64 of this user's projects finds them. Replaces those of an earlier call.
set -eu
cd "$(dirname "$0")/../.."
. tools/setup/packages.sh
tree=${XDG_CACHE_HOME:-$HOME/.cache}/soil/aarch64
say() { echo "crossinstall: $*" >&2; }
fail() { say "$@"; exit 1; }
[ -f "$tree/root/.of" ] || fail "OCaml for arm64 is missing: run  tools/setup/setup.sh ensure aarch64"
eval "$(tools/setup/cross.sh environment)"
set -- --workspace=dune-workspace.aarch64
say "1 of 2: building Soil's crates and libraries for arm64, which takes about as long as their build for this machine: five minutes on two cores"
dune build "$@" @_build/soil-aarch64/install
say "2 of 2: installing them"
# On the same file system as its destination, so that the libraries appear at once.
part=$tree/lib.part
rm -rf "$part"
mkdir "$part"
trap 'rm -rf "$part"' EXIT
# shellcheck disable=SC2086
dune install "$@" --display=quiet --context soil-aarch64 --prefix "$part/prefix" \
  --libdir "$part/lib" $opam_packages
# dune puts a folder named after findlib's toolchain between.
installed=$part/aarch64-sysroot/lib
[ -f "$installed/soil/META" ] || installed=$part/lib
[ -f "$installed/soil/META" ] || fail "this dune ($(dune --version)) installs the library in no folder known here"
rm -rf "$tree/lib"
mv "$installed" "$tree/lib"
echo "installed for arm64 in $tree/lib"
echo "'soil build' finds it. For 'dune build' alone:  export OCAMLFIND_CONF=$tree/root/findlib.conf"
