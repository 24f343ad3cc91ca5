#!/bin/sh
# opamtest.sh [--short]: tests the release archive and its packages for opam. The archive is
# complete: cargo resolves and builds from it without network and without a registry. Without
# --short opam installs from it, without network, into a switch with the machine's OCaml, dune and
# findlib, and a new project outside of the repository is built and run.
set -u
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
. tools/setup/packages.sh
. tools/setup/checks.sh
log=$work/log
more() { tail -n 20 "$log"; }
# offline COMMAND…: without any network except its own loopback.
if [ "$(id -u)" = 0 ]; then offline() { unshare --net "$@"; }; else offline() { unshare --net --map-root-user "$@"; }; fi

# The packages depend on what set-up installs, and on one of its two Rusts.
depexts() { sed -n 's/^ *\[\(.*\)\] {os-family = "debian"}$/\1/p' "$1" | tr -d '"' | tr ' ' '\n' | sort; }
: >"$log"
check 'what building takes' "$(printf '%s\n' $system_build | sort)" "$(depexts opam/soil.opam)"
check 'which Rust' "$rust_web
$rust_own" "$(sed -n 's/^ *\["\(rustc.*\)"\].*/\1/p' opam/soil.opam | sed 's/" "/ /')"
check 'what running takes, but for QEMU' "$(printf '%s\n' $system_machine | grep -vx "$qemu" | sort)" \
  "$(depexts opam/soil-qemu.opam)"
check 'which QEMU' 'qemu-system-arm
qemu-system-x86' "$(sed -n 's/^ *\["\(qemu[^"]*\)"\] {.*/\1/p' opam/soil-qemu.opam | sort)"
export OPAMROOT="$work/opam" OPAMROOTISOK=1 OPAMYES=1 OPAMCOLOR=never
# There is no site yet (35 and 36).
opam lint --warnings=-35-36 opam/*.opam >"$log" 2>&1
check 'opam lint' '0 0' "$? $(grep -c 'warning\|error' "$log")"

tools/setup/archive.py "$work/repository" >"$log" 2>&1
check 'the archive is written' 0 $?
mkdir "$work/cargo"
(cd "$work" && tar -xf repository/soil-*.tbz)
source=$(echo "$work"/soil-*)
(cd "$source" && CARGO_HOME=$work/cargo offline cargo metadata --format-version=1 --locked --offline >/dev/null) 2>"$log"
check 'cargo finds every crate in the archive' 0 $?
(cd "$source" && CARGO_HOME=$work/cargo offline cargo build -q --locked --offline --package=soil-archive --target-dir="$work/built") >"$log" 2>&1
check 'cargo builds from the archive' 0 $?
(cd "$source" && CARGO_HOME=$work/cargo offline cargo check -q --locked --offline --release --package=loader --bin=soil-uefi --features=uefi --target-dir="$work/built") >"$log" 2>&1
check 'cargo checks the UEFI loader from the archive' 0 $?
check 'crates of other systems are manifests' 0 "$(find "$source"/vendor/windows* -name '*.rs' -size +0 | wc -l)"
if [ "${1:-}" = --short ]; then
  counts
  exit
fi

# stand_in NAME VERSION FIELD…: a package that marks the machine's own as present.
stand_in() {
  folder=$work/repository/packages/$1/$1.$2
  shift 2
  mkdir -p "$folder"
  printf '%s\n' 'opam-version: "2.0"' 'maintainer: "nobody"' 'synopsis: "the machine has it"' "$@" >"$folder/opam"
}
ocaml=$(ocamlfind ocamlopt -version)
stand_in ocaml-system "$ocaml" 'flags: compiler'
stand_in ocaml "$ocaml" 'depends: "ocaml-system"' 'setenv: CAML_LD_LIBRARY_PATH += "%{stublibs}%"'
stand_in ocamlfind "$(ocamlfind query -format %v findlib)" 'depends: "ocaml"' 'setenv: OCAMLPATH += "%{lib}%"'
stand_in dune "$(dune --version)" 'depends: ["ocaml" "ocamlfind"]'

# opam's sandbox also has no network, can write only to the build's folder, and reads the files of
# root's own Rust only with this setting.
export OPAM_USER_PATH_RO="$HOME"
sandbox=--disable-sandboxing
! offline bwrap --unshare-net --ro-bind / / true 2>/dev/null || sandbox=
# shellcheck disable=SC2086
opam init --bare --no-setup $sandbox local "$work/repository" >"$log" 2>&1 && opam switch create trial ocaml-system >>"$log" 2>&1
check 'a switch' 0 $?
offline opam install --no-depexts --keep-build-dir soil soil-dns >"$log" 2>&1
check 'opam install soil soil-dns' 0 $?
build=$work/opam/trial/.opam-switch/build
check 'cargo writes to the build folder only' "$build/soil.0.1.0/_build/target" "$(find "$build" -maxdepth 3 -name target)"
rm -rf "$build"
eval "$(opam env --switch=trial --set-switch)"
unset DUNE_BUILD_DIR
cd "$work" || exit 1
check 'soil is of the switch' "$work/opam/trial/bin/soil" "$(command -v soil)"
: >"$log"
soil new trial >"$log" 2>&1 && dune build --root trial >>"$log" 2>&1
check 'a new project is built' 0 $?
printf 'let () = print_endline (Soil.run (fun () -> "hello " ^ Sys.argv.(1))); exit 200\n' >trial/main.ml
dune build --root trial ./main.exe >"$log" 2>&1
for form in default soil; do
  output=$(soil run "trial/_build/$form/main.exe" --timeout 600 -- 'a b' </dev/null 2>"$log")
  check "a new project runs ($form)" 'hello a b 200' "$output $?"
done
check 'an image names no folder of the build' 0 "$(grep -c "$work" trial/_build/soil/main.exe)"

counts
