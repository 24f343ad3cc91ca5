#!/bin/sh
# Fetches the crates of Soil; with --all those of soil-window too, a workspace of its own.
set -eu
cd "$(dirname "$0")/../.."
cargo fetch -q --locked
[ "${1:-}" != --all ] || cargo fetch -q --locked --manifest-path=tools/window/Cargo.toml
