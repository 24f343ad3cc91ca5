#!/bin/sh
# Runs cargo with the paths of the crates' sources cut to what stands below the registry's folder: what panics and logs name is in each
# image, and is to be the same there, and as long, whoever built it.
set -eu
flags=$(printf %s "${RUSTFLAGS:-}" | tr -s ' ' '\037')
separator=${flags:+$(printf '\037')}
for sources in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
  flags="$flags$separator--remap-path-prefix=$sources="
  separator=$(printf '\037')
done
export CARGO_ENCODED_RUSTFLAGS="$flags"
exec cargo "$@"
