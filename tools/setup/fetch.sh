#!/bin/sh
# Fetches the crates of Soil; with --all also those of soil-window, a separate workspace.
set -eu
cd "$(dirname "$0")/../.."
cargo fetch -q --locked
[ "${1:-}" != --all ] || cargo fetch -q --locked --manifest-path=tools/window/Cargo.toml
