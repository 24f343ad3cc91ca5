#!/bin/sh
# Builds all that `make build` promises; dune calls cargo where it needs it, without the network, so crates are fetched first.
set -eu
cd "$(dirname "$0")/../.."
cargo fetch -q --locked
dune build
