#!/bin/sh
# build.sh OUT TARGET: builds the loaders for a disk into the folder OUT, with cargo's own files in
# TARGET.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
elf=$2/x86_64-unknown-linux-gnu/release/soil-uefi

sh "$here/../kernel/cargo.sh" rustc --quiet --locked --release --manifest-path="$here/Cargo.toml" \
    --target-dir="$2" --target=x86_64-unknown-linux-gnu --bin=soil-uefi --features=uefi -- \
    -Crelocation-model=pic -Cdebuginfo=0 -Clink-arg=-nostdlib -Clink-arg=-nostartfiles \
    -Clink-arg=-static-pie -Clink-arg=-fuse-ld=bfd -Clink-arg=-Wl,--build-id=none \
    -Clink-arg=-Wl,-z,norelro,--no-dynamic-linker,-z,max-page-size=4096 \
    -Clink-arg=-Wl,-T,"$here/src/bin/uefi/layout.ld"
if readelf -rW "$elf" | grep R_X86_64 | grep -qv R_X86_64_RELATIVE; then
    echo "soil-uefi: relocations that its start doesn't apply" >&2
    exit 1
fi
objcopy -O binary "$elf" "$1/soil-uefi.efi"

sh "$here/../kernel/cargo.sh" rustc --quiet --locked --release --manifest-path="$here/Cargo.toml" \
    --target-dir="$2" --target=x86_64-unknown-linux-gnu --bin=soil-bios --features=bios -- \
    -Crelocation-model=static -Cdebuginfo=0 -Clink-arg=-nostdlib -Clink-arg=-nostartfiles \
    -Clink-arg=-static -Clink-arg=-no-pie -Clink-arg=-fuse-ld=bfd -Clink-arg=-Wl,--build-id=none \
    -Clink-arg=-Wl,-T,"$here/src/bin/bios/layout.ld"
objcopy -O binary "${elf%uefi}bios" "$1/soil-bios.bin"
gcc -c -o "$2/mbr.o" "$here/src/bin/bios/mbr.S"
ld -m elf_x86_64 -Ttext=0x7c00 -e start --oformat=binary -o "$1/soil-bios-mbr.bin" "$2/mbr.o"
