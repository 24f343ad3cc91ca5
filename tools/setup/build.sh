#!/bin/sh
# Builds the targets of `make build`: the packages' files and the examples in both forms; with --all
# the tests' and benchmarks' programs and soil-window too. Fetches the crates first, so that cargo
# inside of dune needs no network.
set -eu
cd "$(dirname "$0")/../.."
tools/setup/fetch.sh "$@"
if [ "${1:-}" = --all ]; then set -- @default @install @tests/programs/all; else set -- @install @examples/default; fi
# However make is ended, dune ends with it: one that went on would lock the next one out.
exec setpriv --pdeathsig TERM dune build "$@"
