#!/bin/sh
# Builds each of Soil's packages as opam does, in the order of their dependencies: dune sees those
# that are installed already, and nothing else of this repository. Expects `make build`.
set -u
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
. tools/setup/packages.sh
. tools/setup/checks.sh
log=$work/log
more() { head -n 20 "$log"; }

# install PACKAGE: what was built, where findlib finds it.
install() { dune install --display=quiet --context default --prefix "$work/prefix" --libdir "$work/lib" "$@"; }
install soil >"$log" 2>&1
check 'soil, of this build' 0 $?
mkdir "$work/source"
git ls-files -z | xargs -0 cp -P --parents -t "$work/source" 2>"$log"
cd "$work/source" || exit 1
export OCAMLPATH="$work/lib${OCAMLPATH:+:$OCAMLPATH}"
for package in ${opam_packages#soil }; do
  dune build -p "$package" @_build/default/install >"$log" 2>&1 && install -p "$package" "$package" >>"$log" 2>&1
  check "$package alone" 0 $?
done
counts
