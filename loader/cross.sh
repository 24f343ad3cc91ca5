#!/bin/sh
# cross.sh PROCESSOR…: prints what is missing on this machine to build the UEFI loaders for these
# processors, a line for each: a program, or a target of Rust.
for processor in "$@"; do
    [ "$processor" != "$(uname -m)" ] || continue
    for tool in gcc objcopy; do
        command -v "$processor-linux-gnu-$tool" >/dev/null || echo "$processor-linux-gnu-$tool"
    done
    target=$processor-unknown-linux-gnu
    libraries=$(rustc --print target-libdir --target="$target" 2>/dev/null)
    ls "$libraries"/libcore-*.rlib >/dev/null 2>&1 || echo "$target"
done
