#!/bin/sh
# Builds the targets of `make build`: the packages' files and the examples in both forms; with --all
# everything that `dune build` makes, and the end-to-end tests' programs. Fetches the crates first,
# so that cargo inside of dune needs no network.
set -eu
cd "$(dirname "$0")/../.."
cargo fetch -q --locked
if [ "${1:-}" = --all ]; then set -- @@default @tests/programs/all; else set -- @install @examples/default; fi
# However make ends, dune ends with it: a leftover dune would lock out the next one.
exec setpriv --pdeathsig TERM dune build "$@"
