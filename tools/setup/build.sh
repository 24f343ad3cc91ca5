#!/bin/sh
# Builds the targets of `make build`: the packages' files and the examples in both forms; with --all
# all that `dune build` makes, soil-window with it, and the end-to-end tests' programs. Fetches the
# crates first, so that cargo inside of dune needs no network.
set -eu
cd "$(dirname "$0")/../.."
tools/setup/fetch.sh "$@"
if [ "${1:-}" = --all ]; then set -- @@default @tests/programs/all; else set -- @install @examples/default; fi
# However make is ended, dune ends with it: one that went on would lock the next one out.
exec setpriv --pdeathsig TERM dune build "$@"
