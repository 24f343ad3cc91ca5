#!/bin/sh
# Runs cargo with the paths of the crates' sources cut to what stands below the registry's folder,
# and below the one that this repository is built in: what panics, logs and debugging information
# name is in each image and archive, and is to be the same, and as long, wherever it is built. All
# calls of dune's rules that share a folder have the same words: with others cargo would compile what
# they share again.
set -eu
flags=$(printf %s "${RUSTFLAGS:-}" | tr -s ' ' '\037')
separator=${flags:+$(printf '\037')}
# As cargo names it: without links.
contexts=$(cd "$(dirname "$0")/../.." && pwd -P)
# The same words in both contexts of dune: with others cargo would compile all of it again.
named='default soil'
case " $* " in *' --target=aarch64-'*) named='default soil-aarch64' ;; esac
case "$(uname -m) $*" in
# Processes and programs of this machine.
*' --profile=process'* | *' --profile=tools'* | *' --package=soil-archive'* | *' --package=soil-bindgen'*) ;;
aarch64* | *' --target=aarch64-'*)
  # For arm64 LLVM moves equal instructions of code compiled for size into functions, whose calls
  # cost more than the memory is worth.
  flags="$flags$separator-Cllvm-args=-enable-machine-outliner=never"
  separator=$(printf '\037')
  # For speed: a request over HTTP takes 7 to 8 % fewer instructions, an image with a network 29 KB
  # more. Images for x86-64 stay small, since their rate is further above Linux's.
  set -- --config profile.release.package.net.opt-level=2 "$@"
  ;;
esac
case " $* " in
# Rust's library refers to two functions of glibc 2.39 if they are there, for an interface that isn't
# stable: the commands would ask for that version, and not start on an older system.
*' --profile=tools '*)
  flags="$flags$separator-Clink-arg=-Wl,--defsym=pidfd_spawnp=0,--defsym=pidfd_getpid=0"
  separator=$(printf '\037')
  ;;
esac
for context in $named; do
  flags="$flags$separator--remap-path-prefix=$contexts/$context=."
  separator=$(printf '\037')
done
# In a release archive cargo takes crates from its folder vendor alone.
for sources in "$contexts/../vendor" "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
  [ -d "$sources" ] || continue
  linked=$(cd "$sources" && pwd)
  # The folder that a crate is compiled in has its name without links.
  for sources in "$linked" "$(cd "$sources" && pwd -P)"; do
    case "$flags$separator" in *"--remap-path-prefix=$sources=$separator"*) continue ;; esac
    flags="$flags$separator--remap-path-prefix=$sources="
    # The C and assembly of crates, such as ring's.
    CFLAGS="${CFLAGS:-} -ffile-prefix-map=$sources="
  done
done
export CARGO_ENCODED_RUSTFLAGS="$flags" CFLAGS
exec cargo "$@"
