#!/bin/sh
# Mutation testing of changes in the modules of docs/evidence/mutants.md since commit MUTANTS_SINCE
# (by default 20 back): lists survivors, and fails if tests notice fewer than 85 %.
set -eu
cd "$(dirname "$0")/../.."
if ! command -v cargo-mutants >/dev/null 2>&1; then
  echo "skipped: cargo-mutants is not installed; install it with: cargo install cargo-mutants --locked"
  exit 0
fi
since=${MUTANTS_SINCE:-HEAD~20}
if ! git rev-parse -q --verify "$since^{commit}" >/dev/null 2>&1; then
  echo "skipped: no commit $since here to compare with"
  exit 0
fi
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
kernel=$(printf 'kernel/src/%s.rs ' board/pc/clock/discipline board/pc/clock/rtc memory/frames memory/reserve memory/tables memory/tlb memory/vma halt/polling halt/timer)
# shellcheck disable=SC2086 # a list
git diff "$since" -- drivers/src firmware/src fs/src/cache fs/src/fat fs/src/partition fs/src/tar net/src ':!net/src/sim' platform ':!platform/image/src' posix/src ':!posix/src/system_calls*' reactor/src resources/src soil-sys/src $kernel >"$work/diff"
if [ ! -s "$work/diff" ]; then
  echo "nothing changed in these modules since $since"
  exit 0
fi
# It fails if a mutant survives; the script counts survivors itself.
cargo mutants --in-diff "$work/diff" -p drivers -p firmware -p fs -p net -p platform -p configuration -p host -p lock -p generator -p posix -p reactor -p resources -p soil-sys -p kernel --timeout 120 --colors never -o "$work" || true
lines() { cat "$work/mutants.out/$1.txt" 2>/dev/null | wc -l; }
caught=$(($(lines caught) + $(lines timeout)))
all=$((caught + $(lines missed)))
echo "$caught of $all mutants noticed"
[ $((caught * 100)) -ge $((all * 85)) ]
