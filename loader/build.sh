#!/bin/sh
# build.sh OUT TARGET: builds the loaders for a disk into the folder OUT, with cargo's own files in
# TARGET. A loader for another processor than this machine's is an empty file where what it is built
# with is missing; `cross.sh` says what.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
host=$(uname -m)

# uefi PROCESSOR NUMBER FILE: the UEFI loader; NUMBER is PE's of the processor.
uefi() {
    prefix=
    if [ "$1" != "$host" ]; then
        prefix=$1-linux-gnu-
        if [ -n "$(sh "$here/cross.sh" "$1")" ]; then
            : >"$out/$3"
            return
        fi
    fi
    # SHA-256 without a call that asks Linux for the processor's features.
    flags=${RUSTFLAGS:-}
    if [ "$1" = aarch64 ]; then
        flags="${flags:+$flags }--cfg sha2_backend=\"soft\""
    fi
    target=$1-unknown-linux-gnu
    elf=$build/$target/release/soil-uefi
    RUSTFLAGS=$flags sh "$here/../kernel/cargo.sh" rustc --quiet --locked --release \
        --manifest-path="$here/Cargo.toml" --target-dir="$build" --target="$target" \
        --bin=soil-uefi --features=uefi -- \
        ${prefix:+-Clinker="${prefix}gcc"} \
        -Crelocation-model=pic -Cdebuginfo=0 -Clink-arg=-nostdlib -Clink-arg=-nostartfiles \
        -Clink-arg=-static-pie -Clink-arg=-fuse-ld=bfd -Clink-arg=-Wl,--build-id=none \
        -Clink-arg=-Wl,-z,norelro,--no-dynamic-linker,-z,max-page-size=4096 \
        -Clink-arg="-Wl,--defsym=soil_machine=$2,-T,$here/src/bin/uefi/layout.ld"
    if readelf -rW "$elf" | grep ' R_' | grep -qv _RELATIVE; then
        echo "soil-uefi for $1: relocations that its start doesn't apply" >&2
        exit 1
    fi
    "${prefix}objcopy" -O binary "$elf" "$out/$3"
}

out=$1 build=$2
uefi x86_64 0x8664 soil-uefi.efi
uefi aarch64 0xaa64 soil-uefi-aarch64.efi

if [ "$host" != x86_64 ]; then
    : >"$out/soil-bios.bin"
    : >"$out/soil-bios-mbr.bin"
    exit
fi
sh "$here/../kernel/cargo.sh" rustc --quiet --locked --release --manifest-path="$here/Cargo.toml" \
    --target-dir="$build" --target=x86_64-unknown-linux-gnu --bin=soil-bios --features=bios -- \
    -Crelocation-model=static -Cdebuginfo=0 -Clink-arg=-nostdlib -Clink-arg=-nostartfiles \
    -Clink-arg=-static -Clink-arg=-no-pie -Clink-arg=-fuse-ld=bfd -Clink-arg=-Wl,--build-id=none \
    -Clink-arg=-Wl,-T,"$here/src/bin/bios/layout.ld"
objcopy -O binary "$build/x86_64-unknown-linux-gnu/release/soil-bios" "$out/soil-bios.bin"
gcc -c -o "$build/mbr.o" "$here/src/bin/bios/mbr.S"
ld -m elf_x86_64 -Ttext=0x7c00 -e start --oformat=binary -o "$out/soil-bios-mbr.bin" \
    "$build/mbr.o"
