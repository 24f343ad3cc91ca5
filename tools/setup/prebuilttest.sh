#!/bin/sh
# prebuilttest.sh [--short]: tests builds without Rust. The rules of dune take files of the prebuilt
# archive where they are of the same sources, and refuse others; the archive is the same when it is
# written again; the opam package names it. Without --short opam installs the release with it, with a
# PATH that has neither cargo nor rustc, without network, and a new project is built and run.
set -u
cd "$(dirname "$0")/../.." || exit 1
repository=$PWD
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
. tools/setup/checks.sh
log=$work/log
: >"$log"
more() { tail -n 20 "$log"; }
processor=$(uname -m)

# A source folder as in dune's build folder: the script, and the list of the sources.
tree=$work/tree
mkdir -p "$tree/tools/setup" "$tree/net"
cp tools/setup/prebuilt.sh "$tree/tools/setup"
printf '00  Cargo.toml\n11  net/dune\n22  net/src/lib.rs\n' >"$tree/rust-sources.sha256"
prebuilt() { (cd "$tree/net" && rm -f ./*.a && sh ../tools/setup/prebuilt.sh "$@") 2>"$log"; }
taken() { prebuilt take "$processor" libsoil.a -- sh -c 'echo by cargo >libsoil.a'; }
found() { cat "$tree/net/libsoil.a" 2>/dev/null || echo none; }
taken
check 'without a prebuilt folder the command runs' '0 by cargo' "$? $(found)"
mkdir -p "$tree/prebuilt/$processor"
echo prebuilt >"$tree/prebuilt/$processor/libsoil.a"
taken
check 'a folder without the list of its sources is refused' '1 none yes' \
  "$? $(found) $(grep -q "prebuilt/$processor lacks sources.sha256" "$log" && echo yes)"
sort -r "$tree/rust-sources.sha256" | sed 's|  Cargo|  ./Cargo|' >"$tree/prebuilt/$processor/sources.sha256"
taken
check 'a file of the same sources is taken, as any version of dune lists them' '0 prebuilt' "$? $(found)"
prebuilt take "$processor" libother.a -- true
check 'a missing file is named' '1 yes' "$? $(grep -q "prebuilt/$processor lacks libother.a: remove that folder" "$log" && echo yes)"
sed -i 's/^22/33/' "$tree/rust-sources.sha256"
taken
check 'other sources are refused, by name and with the remedy' '1 none yes' \
  "$? $(found) $(grep -q 'differ: net/src/lib.rs.*: remove that folder to build with cargo' "$log" && echo yes)"
printf '00  Cargo.toml\n11  net/dune\n22  net/src/lib.rs\n44  net/src/new.rs\n' >"$tree/rust-sources.sha256"
taken
check 'so are sources with another file' '1 none yes' "$? $(found) $(grep -q 'differ: net/src/new.rs' "$log" && echo yes)"
mkdir "$work/old"
printf '#!/bin/sh\necho glibc 2.31\n' >"$work/old/getconf"
chmod +x "$work/old/getconf"
PATH=$work/old:$PATH taken
check 'an older glibc than the files are for is refused' '1 none yes' \
  "$? $(found) $(grep -q 'is for glibc 2.34 or later, and this system has 2.31: remove that folder' "$log" && echo yes)"
prebuilt take another libsoil.a -- sh -c 'echo by cargo >libsoil.a'
check "another processor's folder is not taken" '0 by cargo' "$? $(found)"

# Unpacked as opam does: this processor's archive replaces an older folder.
prebuilt unpack
check 'without an archive nothing is unpacked' '0 prebuilt' "$? $(cat "$tree/prebuilt/$processor/libsoil.a")"
mkdir -p "$work/new/prebuilt/$processor"
echo new >"$work/new/prebuilt/$processor/libnew.a"
tar -cJf "$tree/soil-9.9-prebuilt-$processor.tar.xz" -C "$work/new" prebuilt
prebuilt unpack
check 'an archive replaces the folder' '0 libnew.a' "$? $(ls "$tree/prebuilt/$processor")"

# What this clone's build has, packed twice.
for folder in "$work/release" "$work/again"; do
  tools/setup/prebuilt.py "$folder" --incomplete >"$log" 2>&1
  check "the prebuilt archive is written to ${folder##*/}" 0 $?
done
archive=$(echo "$work"/release/soil-*-prebuilt-"$processor".tar.xz)
check 'the archive is the same again' 0 "$(cmp "$archive" "$work/again/${archive##*/}" >"$log" 2>&1; echo $?)"
check 'its files' 'compilers libsoil_image.a libsoil_preload.so libsoil_sys.a soil soil-bios-mbr.bin soil-bios.bin soil-cc soil-uefi-aarch64.efi soil-uefi.efi sources.sha256' \
  "$(tar -tJf "$archive" | sed 's|.*/||' | LC_ALL=C sort | paste -sd' ')"
check 'they have no owner and no time' '0/0 1980-01-01' "$(TZ=UTC tar -tvJf "$archive" --numeric-owner | awk '{ print $2, $4 }' | sort -u)"

# The opam package, on this processor.
packages() {
  python3 -c '
import pathlib, sys
sys.path.insert(0, "tools/setup")
import archive
folder = pathlib.Path(sys.argv[1])
(folder / "sources").write_bytes(b"")
archive.write_packages(folder, folder / "sources", "https://soil.org/0/soil.tbz", archive.version())
' "$1" && cat "$1"/packages/soil/*/opam
}
opam=$(packages "$work/release")
name=${archive##*/}
check 'the opam package has the archive, from beside the sources' \
  "extra-source \"$name\" { src: \"https://soil.org/0/$name\" checksum: \"sha256=$(sha256sum "$archive" | cut -d' ' -f1)\" }" \
  "$(echo "$opam" | sed -n '/^extra-source/,/^}/p' | tr -s ' \n' ' ' | sed 's/ $//')"
case $processor in aarch64) arch=arm64 ;; *) arch=$processor ;; esac
check "Rust's packages are for other processors" 2 "$(echo "$opam" | grep -A1 '"rustc' | grep -c "{arch != \"$arch\" & (")"
mkdir "$work/without"
check 'without a prebuilt archive the package is the one of this repository' '' \
  "$(packages "$work/without" | sed '/^url {/,/^}/d' | diff opam/soil.opam - | head -n 5)"
if [ "${1:-}" = --short ]; then
  counts
  exit
fi

# For arm64, from x86-64.
if [ "$processor" = aarch64 ] || [ -n "$(sh loader/cross.sh aarch64)" ]; then
  echo 'left out: the archive for arm64: run  tools/setup/setup.sh ensure aarch64'
else
  tools/setup/prebuilt.py "$work/arm64" aarch64 >"$log" 2>&1
  check 'the archive for arm64 is written' 0 $?
  tar -xJf "$work"/arm64/soil-*-prebuilt-aarch64.tar.xz -C "$work/arm64"
  folder=$work/arm64/prebuilt/aarch64
  check 'its files, of the same names' "$(tar -tJf "$archive" | sed 's|.*/||')" "$(LC_ALL=C ls "$folder")"
  check 'all of its code is for arm64' AArch64 \
    "$(readelf -h "$folder"/*.a "$folder"/*.so "$folder/soil" "$folder/soil-cc" | sed -n 's/^ *Machine: *//p' | sort -u)"
  check 'no file says where it was built' '' "$(grep -l -F "$repository/" "$folder"/*)"
  check 'its sources are the same' '' "$(tar -xJOf "$archive" --wildcards '*/sources.sha256' | diff - "$folder/sources.sha256" | head -n 5)"
  if command -v qemu-aarch64 >/dev/null; then
    arm64() { SOIL_CC='echo' qemu-aarch64 -L /usr/aarch64-linux-gnu "$@" 2>"$log"; }
    output=$(arm64 "$folder/soil" --version)
    check 'its soil runs' "$(_build/default/tools/soil --version) 0" "$output $?"
    # The compiler is a child process.
    output=$(arm64 "$folder/soil-cc" -c main.c)
    check 'its soil-cc runs' '-c main.c 0' "$output $?"
  else
    echo 'left out: commands for arm64: run  apt-get install qemu-user'
  fi
fi

# All programs of PATH, except Rust's.
mkdir "$work/bin"
echo "$PATH" | tr : '\n' | tac | while IFS= read -r folder; do
  case $folder in
  "${CARGO_HOME:-$HOME/.cargo}"/* | */rustup/* | *.rustup/* | '') ;;
  *) find -L "$folder" -maxdepth 1 -type f ! -name 'cargo*' ! -name 'rust*' -exec ln -sf -t "$work/bin" {} + 2>/dev/null ;;
  esac
done
rm -rf "$work/release/packages"
tools/setup/archive.py "$work/release" >"$log" 2>&1
check 'the release archive is written' 0 $?
PATH=$work/bin
unset CARGO_HOME RUSTUP_HOME DUNE_BUILD_DIR
check 'there is no Rust' 'none' "$(command -v cargo rustc rustup || echo none)"
if [ "$(id -u)" = 0 ]; then offline() { unshare --net "$@"; }; else offline() { unshare --net --map-root-user "$@"; }; fi

# stand_in NAME VERSION FIELD…: a package that marks the machine's own as present.
stand_in() {
  folder=$work/release/packages/$1/$1.$2
  shift 2
  mkdir -p "$folder"
  printf '%s\n' 'opam-version: "2.0"' 'maintainer: "nobody"' 'synopsis: "the machine has it"' "$@" >"$folder/opam"
}
ocaml=$(ocamlfind ocamlopt -version)
stand_in ocaml-system "$ocaml" 'flags: compiler'
stand_in ocaml "$ocaml" 'depends: "ocaml-system"' 'setenv: CAML_LD_LIBRARY_PATH += "%{stublibs}%"'
stand_in ocamlfind "$(ocamlfind query -format %v findlib)" 'depends: "ocaml"' 'setenv: OCAMLPATH += "%{lib}%"'
stand_in dune "$(dune --version)" 'depends: ["ocaml" "ocamlfind"]'
export OPAMROOT="$work/opam" OPAMROOTISOK=1 OPAMYES=1 OPAMCOLOR=never OPAM_USER_PATH_RO="$work/bin"
sandbox=--disable-sandboxing
! offline bwrap --unshare-net --ro-bind / / true 2>/dev/null || sandbox=
# shellcheck disable=SC2086
opam init --bare --no-setup $sandbox local "$work/release" >"$log" 2>&1 && opam switch create trial ocaml-system >>"$log" 2>&1
check 'a switch' 0 $?
offline opam install --no-depexts --keep-build-dir soil >"$log" 2>&1
check 'opam install soil, without Rust' 0 $?
build=$work/opam/trial/.opam-switch/build
check 'cargo has built nothing' '' "$(find "$build" -maxdepth 3 -name target)"
rm -rf "$build"
eval "$(opam env --switch=trial --set-switch)"
cd "$work" || exit 1
soil new trial >"$log" 2>&1 && printf 'let () = print_endline (Soil.run (fun () -> "hello " ^ Sys.argv.(1))); exit 200\n' >trial/main.ml
offline dune build --root trial ./main.exe _build/soil/main.exe >"$log" 2>&1
check 'a new project is built' 0 $?
for form in default soil; do
  output=$(soil run "trial/_build/$form/main.exe" --timeout 600 -- 'a b' </dev/null 2>"$log")
  check "a new project runs ($form)" 'hello a b 200' "$output $?"
done
cd "$repository" || exit 1

counts
