#!/bin/sh
# prebuilt.sh take ARCHITECTURE FILE… -- COMMAND…   what dune's rules run: copies the files from the
#                          folder prebuilt/PROCESSOR into the current folder; without that folder it
#                          runs the command, which builds them by cargo. ARCHITECTURE is OCaml's name
# prebuilt.sh unpack       what the opam package runs: unpacks this machine's prebuilt archive of the
#                          release, if it is in the source folder
#
# prebuilt.py writes the archives. Their sources.sha256 lists the sources that they were built from:
# files of other sources are refused, since the OCaml side is linked to them by name and by number.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

take() {
  case $1 in
  amd64) processor=x86_64 ;;
  arm64) processor=aarch64 ;;
  *) processor=$1 ;;
  esac
  shift
  files=
  while [ "$1" != -- ]; do
    files="$files $1"
    shift
  done
  shift
  folder=$root/prebuilt/$processor
  [ -d "$folder" ] || exec "$@"
  remedy="remove that folder to build with cargo, or unpack soil-VERSION-prebuilt-$processor.tar.xz of these sources' release in the source folder"
  # prebuilt.py packs no file that needs a later one.
  glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed 's/^glibc //')
  [ "$(printf '2.34\n%s\n' "${glibc:-2.34}" | sort -V | head -n 1)" = 2.34 ] || fail "prebuilt/$processor is for glibc 2.34 or later, and this system has $glibc: remove that folder to build with cargo"
  [ -f "$folder/sources.sha256" ] || fail "prebuilt/$processor lacks sources.sha256, the list of the sources that it was built from: $remedy"
  # Lines in one of the two only; a changed file has one in each. dune 3.24 writes ./Cargo.toml for
  # what is Cargo.toml in 3.17.
  other=$(sed 's|  \./|  |' "$folder/sources.sha256" "$root/rust-sources.sha256" | sort | uniq -u | sed 's/^[^ ]*  //' | sort -u)
  [ -z "$other" ] || fail "prebuilt/$processor was built from other sources, which differ: $(echo "$other" | head -n 3 | paste -sd' ') (files: $(echo "$other" | wc -l)): $remedy"
  for file in $files; do
    [ -f "$folder/$file" ] || fail "prebuilt/$processor lacks $file: $remedy"
    # A rule with two commands takes the file twice, and dune's copy has no write bit.
    cp -f "$folder/$file" "$file"
  done
}

unpack() {
  cd "$root"
  for archive in soil-*-prebuilt-"$(uname -m)".tar.xz; do
    [ -f "$archive" ] || continue
    rm -rf "prebuilt/$(uname -m)"
    tar -xJf "$archive"
  done
}

case ${1:-} in
take) shift; take "$@" ;;
unpack) unpack ;;
*) fail 'usage: prebuilt.sh take ARCHITECTURE FILE… -- COMMAND… | unpack' ;;
esac
