#!/bin/sh
# What `make build` promises: the packages' files and the examples in both forms; with --all the
# tests' and benchmarks' programs too. The crates are fetched first, so that cargo inside dune finds
# them whatever the network does.
set -eu
cd "$(dirname "$0")/../.."
cargo fetch -q --locked
if [ "${1:-}" = --all ]; then set --; else set -- @install @examples/default; fi
# However make is ended, dune ends with it: one that went on would lock the next one out.
exec setpriv --pdeathsig TERM dune build "$@"
