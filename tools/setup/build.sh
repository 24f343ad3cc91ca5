#!/bin/sh
# Builds all that `make build` promises: the soil command first, since the image context links with soil-cc.
set -eu
cd "$(dirname "$0")/../.."
cargo fetch -q --locked
cargo build -q --locked --release -p soil-tools
dune build
