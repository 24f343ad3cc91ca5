#!/bin/sh
# Builds the loaders for a disk into the folder $1; further arguments are cargo's.
set -eu
out=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../target/loader}

cargo rustc --quiet --locked --release --manifest-path="$here/Cargo.toml" --target-dir="$target" \
    --target=x86_64-unknown-linux-gnu --bin=soil-uefi --features=uefi "$@" -- \
    -Crelocation-model=pic -Cdebuginfo=0 -Clink-arg=-nostdlib -Clink-arg=-nostartfiles \
    -Clink-arg=-static-pie -Clink-arg=-fuse-ld=bfd -Clink-arg=-Wl,--build-id=none \
    -Clink-arg=-Wl,-z,norelro,--no-dynamic-linker,-z,max-page-size=4096 \
    -Clink-arg=-Wl,-T,"$here/src/bin/uefi/layout.ld"
elf=$target/x86_64-unknown-linux-gnu/release/soil-uefi
if readelf -rW "$elf" | grep R_X86_64 | grep -qv R_X86_64_RELATIVE; then
    echo "soil-uefi: relocations that its start doesn't apply" >&2
    exit 1
fi
objcopy -O binary "$elf" "$out/soil-uefi.efi"
