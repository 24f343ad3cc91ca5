#!/bin/sh
# Builds the targets of `make build`: the packages' files and the examples in both forms; with --all
# everything that `dune build` makes, and the end-to-end tests' programs. Fetches the crates first,
# so that cargo inside of dune needs no network. A failed build ends with one line: what failed, and
# what mends it.
set -eu
cd "$(dirname "$0")/../.."
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT

# remedy: for the errors in $log.
remedy() {
  if grep -q 'No space left on device' "$log"; then
    echo "make room on the disk of $PWD, then run  make build"
  elif grep -q -e 'Could not resolve' -e "couldn't connect" -e 'failed to \(download\|fetch\|get\)' "$log"; then
    echo 'check the network, then run  make build'
  elif grep -q 'Library ".*" .*\(not found\|is hidden\)' "$log"; then
    echo 'install its package (tools/setup/setup.sh ensure run as root), then run  make build'
  elif grep -q -e 'signal: 9' -e 'signal KILL' -e 'out of memory' "$log"; then
    echo 'give the machine 4 GB of memory, or run  make build JOBS=1'
  else
    echo 'correct it, then run  make build; or attach the lines above to an issue'
  fi
}
# stop WHAT: with the first place and the first error of $log.
stop() {
  place=$(sed -n 's/^File "\([^"]*\)", line \([0-9]*\).*/\1:\2: /p' "$log" | head -n 1)
  error=$(grep -m 1 -i '^ *error' "$log" || grep -m 1 . "$log" || echo 'see above')
  printf '%s failed: %s%s; to mend it: %s\n' "$1" "$place" "${error%.}" "$(remedy)" >&2
  exit 1
}
if [ "${1:-}" = --all ]; then set -- @@default @tests/programs/all; else set -- @install @examples/default; fi

cargo fetch -q --locked 2>"$log" || { cat "$log" >&2; stop 'cargo fetch'; }
# However make ends, dune ends with it: a leftover dune would lock out the next one.
dune() { setpriv --pdeathsig TERM dune build ${JOBS:+-j "$JOBS"} "$@"; }
# dune shows its progress on a terminal only: the first error comes from a repetition.
dune "$@" || { dune "$@" >"$log" 2>&1 || stop build; }
