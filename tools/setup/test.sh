#!/bin/sh
# All checks of `make test`, one after the other, each with a line as it starts and one as it ends.
# At the end the ten slowest tests, and a summary as the last line: "N passed, N failed". A step
# that fails doesn't stop the next ones. --long adds the long runs. ONLY=WORDS runs the end-to-end
# tests that match, alone.
set -u
cd "$(dirname "$0")/../.." || exit 1
long=
[ "${1:-}" != --long ] || long=--long

# Disk space of a whole run below the repository, in KiB; a full disk causes misleading errors.
needed=5000000
free=$(df -Pk . | awk 'NR == 2 { print $4 }')
if [ -n "$free" ] && [ "$free" -lt "$needed" ] && [ ! -d target/debug ]; then
  echo "make test needs $((needed / 1000000)) GB on the disk of $(pwd), which has $((free / 1000000)): make room there, or clone to another disk" >&2
  exit 1
fi
# Nobody builds twice in CI: without what the next build would use, half of the disk suffices and
# the build is faster.
[ -z "${CI:-}" ] || export CARGO_INCREMENTAL=0

passed=0
failed=0
failures=
log=$(mktemp)
slow=$(mktemp)
built=$(mktemp)
trap 'rm -f "$log" "$slow" "$built" "$built.status"' EXIT
start=$(date +%s)

# A step that hangs is ended, so that the report comes all the same: half an hour for each and 75
# minutes for all, on machines several times slower than the one that README speaks of.
step_limit=1800
all_limit=4500
[ -z "$long" ] || { step_limit=36000 all_limit=144000; }

# Runs a command with the time that is left, in a process group of its own, which ends with this
# script as well.
limited() {
  left=$((all_limit - $(date +%s) + start))
  [ "$left" -lt "$step_limit" ] || left=$step_limit
  [ "$left" -gt 0 ] || left=1
  setpriv --pdeathsig TERM timeout --kill-after=30 "$left" "$@"
  limited_status=$?
  [ "$limited_status" != 124 ] || echo "error: ended after $left s, the time that is left for this step; run it alone to see what hangs: $*" >&2
  return "$limited_status"
}

# A child's pipe to tee would hide its status. The function that is a step limits itself.
capture() {
  case $1 in end_build) ;; *) set -- limited "$@" ;; esac
  { { "$@" 2>&1; echo "status $?" >"$log.status"; } </dev/null | tee "$log"; }
}

# Adds what a step's own runner counted: cargo's "test result:" lines, alcotest's "N tests run", our
# "N passed, N failed".
count() {
  awk '
    /(^|: )test result: / { for (i = 1; i <= NF; i++) { if ($(i + 1) ~ /^passed/) p += $i; if ($(i + 1) ~ /^failed/) f += $i } next }
    /tests? run\.$/ && /Test Successful/ { p += $(NF - 2); next }
    /^[0-9]+ failures?! .* tests? run\.$/ { f += $1; p += $(NF - 2) - $1; next }
    /^[0-9]+ passed, [0-9]+ failed/ { p += $1; f += $3 }
    END { print p + 0, f + 0 }' "$log"
}

# Adds the tests that say how long they took: "ok       NAME (1.2 s)", and cargo's as cargotest.py prints them.
note_times() {
  awk '
    /^(ok|FAILED) .*\([0-9.]+ s\)/ { print substr($3, 2), $2; next }
    / finished in [0-9.]+s$/ { seconds = $NF; sub(/s$/, "", seconds); name = $0; sub(/: test result.*/, "", name); print seconds, name }
  ' "$log" >>"$slow"
}

# The build goes on beside clippy and `cargo test`, in folders of its own: much of each keeps one
# processor busy and the other idle. However this script is ended, the build ends with it.
begin_build() {
  setpriv --pdeathsig TERM sh -c 'tools/setup/build.sh --all; echo $? >"$1"' sh "$built.status" \
    >"$built" 2>&1 </dev/null &
}
end_build() {
  limited sh -c 'until [ -s "$1" ]; do sleep 0.2; done' sh "$built.status"
  cat "$built"
  [ "$(cat "$built.status")" = 0 ]
}

# step NAME COMMAND…: one check; counts as one itself when its command counts nothing.
step() {
  name=$1
  shift
  began=$(date +%s)
  printf '\n== %s (after %d s)\n' "$name" $((began - start))
  capture "$@"
  status=$(sed 's/status //' "$log.status")
  rm -f "$log.status"
  note_times
  set -- $(count)
  [ "$1$2" != 00 ] || [ "$status" != 0 ] || set -- 1 0
  # A step that failed without a failed test (a build error, a crash) is a failure of its own.
  [ "$status" = 0 ] || [ "$2" != 0 ] || set -- "$1" 1
  passed=$((passed + $1))
  failed=$((failed + $2))
  if [ "$2" != 0 ]; then failures="$failures, $name"; fi
  printf -- '-- %s: %d passed, %d failed (%d s)\n' "$name" "$1" "$2" $(($(date +%s) - began))
}

if [ -n "${ONLY:-}" ]; then
  tools/setup/build.sh || exit 1
  # shellcheck disable=SC2086
  exec tests/run.py $long $ONLY
fi

step 'cargo fmt' cargo fmt --all --check
step 'crates: licences, sources, advisories' sh -c 'cargo fetch -q --locked && exec tools/setup/crates.py check'
begin_build
# Each version of clippy warns of more.
. tools/setup/packages.sh
case $(rustc --version) in "rustc $rust_toolchain "*) warnings='-D warnings' ;; *) warnings= ;; esac
# shellcheck disable=SC2086
step 'cargo clippy' cargo clippy -q --locked --workspace --all-targets -- $warnings
# shellcheck disable=SC2086
step 'cargo clippy, of what images alone have' cargo clippy -q --locked -p posix --features image -- $warnings
step 'cargo test' tools/setup/cargotest.py --locked --workspace
step 'cargo test, of what documents show' cargo test -q --locked --workspace --doc
if [ -n "$long" ]; then
  step 'fs: a million operations, 5000 power cuts' env SOIL_FS_STEPS=125000 SOIL_FS_CUTS=5000 SOIL_FS_MUTATIONS=20000 SOIL_FS_LONG=1 cargo test -q --locked -p fs --tests
  step 'net: long transfers' env SOIL_TEST_LONG=1 cargo test -q --locked -p net --test conformance transfers
  step 'net: no waiter is forgotten' env SOIL_TEST_LONG=1 cargo test -q --locked -p net --lib forgotten
  step 'net: ten minutes of fuzzing' env SOIL_FUZZ_SECONDS=600 cargo test -q --locked -p net --test fuzz
  step 'fs: a million operations in memory' env SOIL_FS_STEPS=340000 cargo test -q --locked -p fs --lib memory::model
  step 'races in an optimised build' cargo test -q --locked --release -p drivers --lib race
  step 'mutants of what changed' tools/setup/mutants.sh
fi
step 'build' end_build
step 'dune @fmt' dune build @_build/default/fmt
step 'dune @bindings' dune build @_build/default/bindings
step 'dune runtest' dune build @_build/default/runtest
step 'set-up and apt' tools/setup/apttest.sh
step 'set-up and install' tools/setup/selftest.sh
# shellcheck disable=SC2086
step 'end to end' tests/run.py $long
if [ -n "$long" ]; then suite=; else suite=--short; fi
# shellcheck disable=SC2086
step "OCaml's own tests" tests/ocaml-suite/run.py $suite
[ -z "$long" ] || step "Lwt's own tests" tests/lwt-suite/run.py

printf '\nthe slowest:\n'
sort -rn "$slow" | head -n 10 | sed 's/^\([0-9.]*\) /  \1 s  /'
printf 'all steps took %d s\n' $(($(date +%s) - start))
[ -z "$failures" ] || printf 'failed: %s\n' "${failures#, }"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
