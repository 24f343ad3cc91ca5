#!/bin/sh
# The checks of `make test`, or of another set: without an option the short set, with --rest what
# `make test-all` has beyond it, with --all both, with --long both and the long runs. Each check has
# a line at its start and one at its end: passed and failed tests, seconds, seconds of processor
# time and its budget (tests/budgets.tsv). They run in two parallel rows: those that only need cargo,
# and those that need the build. At the end come the ten slowest tests, the steps that have outgrown
# their budget, what was left out, tests that failed and passed when repeated
# (tests/harness/flaky.py), and a summary as the last line: "N passed, N failed, N skipped". A step
# that fails doesn't stop the next ones. ONLY=WORDS runs only the end-to-end tests that match.
set -u
cd "$(dirname "$0")/../.." || exit 1
# --second DIR TIME: the second row, started by the first one, with its folder and start time.
second=
if [ "${1:-}" = --second ]; then
  second=yes work=$2 start=$3
  shift 3
fi
option=${1:-} long= set=short
case $option in
'') ;;
--rest) set=rest ;;
--all) set=all ;;
--long) set=all long=--long ;;
*) echo "test.sh: unknown option '$option': --rest, --all or --long" >&2; exit 2 ;;
esac
# short COMMAND…, rest COMMAND…: only where the set has it.
short() { [ "$set" = rest ] || "$@"; }
rest() { [ "$set" = short ] || "$@"; }

if [ -z "$second" ]; then
  # Disk space of a whole run, in KiB; a full disk causes misleading errors.
  needed=9000000
  free=$(df -Pk . | awk 'NR == 2 { print $4 }')
  if [ -n "$free" ] && [ "$free" -lt "$needed" ] && [ ! -d target/debug ]; then
    echo "make test needs $((needed / 1000000)) GB on the disk of $(pwd), which has $((free / 1000000)): make room there, or clone to another disk" >&2
    exit 1
  fi
  # In a first build, and in CI: without the files for the next build, half of the disk suffices and
  # the build is faster.
  if [ -n "${CI:-}" ] || [ ! -d target/debug/incremental ]; then export CARGO_INCREMENTAL=0; fi
  start=$(date +%s)
  work=$(mktemp -d) || exit 1
  trap 'rm -rf "$work"' EXIT
fi
slow=$work/slow
log=$work/log${second:+-of-second}
# For each completed step: the numbers of passed and failed tests, its name.
counts=$work/counts
# The runners' reports of tests that passed when repeated.
flaky=$work/flaky
# Checks that this machine can't do.
left_out=$work/left-out
# For each completed step that took more than its budget: its line of the report.
over=$work/over
# Created when the second row no longer uses the build folder.
built=$work/built

# A hanging step is ended, so that the report still appears: after 45 minutes for each and 110
# minutes for all, on machines several times slower than the one in README.
step_limit=2700
all_limit=6600
[ -z "$long" ] || { step_limit=36000 all_limit=144000; }

# Runs a command with the remaining time, in its own process group, which also ends with this
# script.
limited() {
  left=$((all_limit - $(date +%s) + start))
  [ "$left" -lt "$step_limit" ] || left=$step_limit
  [ "$left" -gt 0 ] || left=1
  setpriv --pdeathsig TERM timeout --kill-after=30 "$left" "$@"
  limited_status=$?
  [ "$limited_status" != 124 ] || echo "error: ended after $left s, the time that is left for this step; run it alone to see what hangs: $*" >&2
  return "$limited_status"
}

# Runs a step's command: its output goes to this row's and to $log, its status to $log.status.
capture() {
  if [ -n "$second" ]; then
    # Without a shell in between, which would outlive this one.
    from=$(wc -c <"$work/second")
    limited "$@" 2>&1 3>&- </dev/null
    echo "status $?" >"$log.status"
    tail -c "+$((from + 1))" "$work/second" >"$log"
  else
    # A pipe from a child to tee would hide its status.
    { { limited "$@" 2>&1; echo "status $?" >"$log.status"; } </dev/null | tee "$log"; }
  fi
}

# Prints the passed, failed and skipped tests of a step's own runner: cargo's "test result:" lines,
# alcotest's "N tests run", our "N passed, N failed, N skipped".
count() {
  awk '
    /(^|: )test result: / { for (i = 1; i <= NF; i++) { if ($(i + 1) ~ /^passed/) p += $i; if ($(i + 1) ~ /^failed/) f += $i } next }
    /tests? run\.$/ && /Test Successful/ { p += $(NF - 2); next }
    /^[0-9]+ failures?! .* tests? run\.$/ { f += $1; p += $(NF - 2) - $1; next }
    /^[0-9]+ passed, [0-9]+ failed/ { p += $1; f += $3; if ($6 ~ /^skipped/) s += $5 }
    END { print p + 0, f + 0, s + 0 }' "$log"
}

# Adds the tests that print their duration: "ok       NAME (1.2 s)", and cargo's as printed by
# cargotest.py.
note_times() {
  awk '
    /^(ok|FAILED) .*\([0-9.]+ s/ { print substr($3, 2), $2; next }
    / finished in [0-9.]+s$/ { seconds = $NF; sub(/s$/, "", seconds); name = $0; sub(/: test result.*/, "", name); print seconds, name }
  ' "$log" >>"$slow"
}

# Prints a line; in the second row also at once on the first one's output.
say() {
  echo "$1"
  [ -z "$second" ] || echo "$1" >&3
}

# Sets $used to the seconds of processor time that this shell's ended children have taken. A shell
# of a substitution would have none.
note_processor_time() {
  times >"$log.times"
  used=$(awk 'END { gsub(/[ms]/, " "); print int(($1 + $3) * 60 + $2 + $4) }' "$log.times")
}

# step NAME COMMAND…: one check; counts as one test if its command counts nothing. Status 77 leaves
# it out, for the reason in its last line.
step() {
  name=$1
  shift
  began=$(date +%s)
  note_processor_time
  used_before=$used
  say "
== $name (after $((began - start)) s)"
  capture "$@"
  note_processor_time
  used=$((used - used_before))
  status=$(sed 's/status //' "$log.status")
  rm -f "$log.status"
  if [ "$status" = 77 ]; then
    tail -n 1 "$log" >>"$left_out"
    return
  fi
  note_times
  grep '^flaky: ' "$log" >>"$flaky"
  # shellcheck disable=SC2046
  set -- $(count)
  [ "$1$2$3" != 000 ] || [ "$status" != 0 ] || set -- 1 0 0
  # A step that failed without a failed test (a build error, a crash) is itself a failure.
  [ "$status" = 0 ] || [ "$2" != 0 ] || set -- "$1" 1 "$3"
  echo "$1 $2 $3 $name" >>"$counts"
  budget=$(awk -F '\t' -v name="$name" '$1 == name { print $2 }' tests/budgets.tsv)
  took="$(($(date +%s) - began)) s, processor $used s of ${budget:-no budget}"
  say "-- $name: $1 passed, $2 failed ($took)"
  # A fifth more than the budget; of few seconds the machine decides.
  if [ -n "$budget" ] && [ $((used * 5)) -gt $((budget * 6)) ] && [ "$used" -gt 10 ]; then echo "  $name: $took" >>"$over"; fi
}

# leave_out TEXT: prints the check left out and the reason, now and at the end.
leave_out() {
  say "
== left out: $1"
  echo "left out: $1" >>"$left_out"
}

# under_kvm OPTIONS…: the tests under KVM. Its instruction emulator is too slow for all.
under_kvm() {
  kvm=$(tests/harness/kvm.py)
  case $kvm in
    native) step 'end to end, under KVM' tests/run.py --no-build --again --kvm "$@" ;;
    assisted) step "end to end, under KVM's instruction emulator" tests/run.py --no-build --again --kvm --short "$@" ;;
    *) leave_out "end to end, under KVM: $kvm" ;;
  esac
}

if [ -n "$second" ]; then
  step 'build' tools/setup/build.sh --all
  # Each version of ocamlformat formats some lines differently.
  wanted=$(sed -n 's/^version *= *//p' .ocamlformat)
  found=$(ocamlformat --version)
  if [ "$found" = "$wanted" ]; then
    short step 'dune @fmt' dune build @_build/default/fmt
  else
    short leave_out "dune @fmt: ocamlformat is $found, and .ocamlformat names $wanted"
  fi
  short step 'dune @bindings' dune build @_build/default/bindings
  short step 'dune runtest' tools/setup/dunetest.py @_build/default/runtest
  if [ -n "$long" ]; then
    step 'systems in virtual time: 1,000 seeds' env SOIL_TEST_LONG=1 dune build --force @_build/default/packages/soil-sim/test/runtest
    step 'replicated: 10,000 seeds' _build/install/default/bin/soil simulate _build/default/examples/replicated/simulation/simulate.exe --seeds 1-10000
  fi
  step 'what end-to-end tests run' tests/run.py --build
  # Of images for arm64 some, where their compilers and QEMU are installed.
  if tools/setup/setup.sh has-aarch64; then
    rest step 'what end-to-end tests for arm64 run' tests/run.py --build --arch aarch64 ${long:---short}
    rest touch "$work/arm64"
  else
    rest leave_out 'end to end, for arm64: run  tools/setup/setup.sh ensure aarch64'
  fi
  : >"$built"
  # Long runs compare figures with bounds, and need an otherwise idle machine.
  if [ -z "$long" ]; then
    short step 'end to end' tests/run.py --no-build --again --short
    rest step 'end to end, the others' tests/run.py --no-build --again --rest
    [ ! -e "$work/arm64" ] ||
      step 'end to end, for arm64' tests/run.py --no-build --again --arch aarch64 --short
    rest under_kvm --short
  fi
  exit 0
fi

if [ -n "${ONLY:-}" ]; then
  tools/setup/build.sh || exit 1
  # shellcheck disable=SC2086
  exec tests/run.py $long $ONLY
fi

short step 'tests that failed and passed again' tests/harness/flaky.py check
short step 'words' tools/setup/words.py
short step 'paths in documents' tools/setup/paths.py
short step 'libraries of make run, examples, templates' tools/setup/resolve.py
short step 'versions of a release' tools/setup/release.sh --check
short step 'cargo fmt' cargo fmt --all --check
cargo deny --version >/dev/null 2>&1 || rest leave_out 'deny.toml and advisories: cargo-deny is missing: cargo install cargo-deny'
short step 'crates: notices, licences, sources, advisories' sh -c 'cargo fetch -q --locked && exec tools/setup/crates.py check'
# However this script ends, the second row ends with it. A shell starts background jobs with two
# signals ignored, which programs under test would inherit.
# shellcheck disable=SC2086
env --default-signal=INT,QUIT setpriv --pdeathsig TERM tools/setup/test.sh --second "$work" "$start" "$option" 3>&1 >>"$work/second" 2>&1 </dev/null &
row=$!
# Clippy compiles the programs that the tests run: a separate run would check every crate once more,
# for a third of their compile time. Each version of clippy has more warnings.
. tools/setup/packages.sh
case $(rustc --version) in "rustc $rust_toolchain "*) pinned=yes ;; *) pinned= ;; esac
# Debian's rustc-web has no clippy.
linted='env RUSTC_WORKSPACE_WRAPPER=clippy-driver' lint=clippy
if ! cargo clippy --version >/dev/null 2>&1; then
  leave_out "clippy: it is missing beside $(command -v cargo)"
  linted=env lint=check pinned=
fi
# shellcheck disable=SC2086
short step "cargo $lint and test" $linted tools/setup/cargotest.py ${pinned:+--deny-warnings} --locked --workspace
# shellcheck disable=SC2086
rest step 'cargo test, of what documents show' $linted cargo test -q --locked --workspace --doc
rest step 'weak memory' $linted cargo loom -q --locked
# The tests' compiler leaves out parts that no test or program depends on, and those only in images.
# shellcheck disable=SC2086
rest step "cargo $lint, of what no test has" cargo $lint -q --locked -p posix -p libc-compat --features libc-compat/image ${pinned:+-- -D warnings}
# The loaders have no standard library, and so no unwinding as in the profile of tests.
# Only PCs have a BIOS.
case $(uname -m) in x86_64) loaders=bios,uefi ;; *) loaders=uefi ;; esac
# shellcheck disable=SC2086
rest step "cargo $lint, of the loaders" cargo $lint -q --locked --release -p loader --bins --features $loaders ${pinned:+-- -D warnings}
if [ -z "$(sh loader/cross.sh aarch64)" ]; then
  # shellcheck disable=SC2086
  rest step "cargo $lint, of the loader for arm64" cargo $lint -q --locked --release -p loader --bin soil-uefi --features uefi --target aarch64-unknown-linux-gnu ${pinned:+-- -D warnings}
fi
if [ -n "$long" ]; then
  step 'fs: a million operations, 5000 power cuts' $linted SOIL_FS_STEPS=125000 SOIL_FS_CUTS=5000 SOIL_FS_MUTATIONS=20000 SOIL_FS_LONG=1 cargo test -q --locked -p fs --tests
  step 'net: long transfers' $linted SOIL_TEST_LONG=1 cargo test -q --locked -p net --test conformance transfers
  step 'net: no wake-up is lost' $linted SOIL_TEST_LONG=1 cargo test -q --locked -p net --lib wakeups
  step 'net: ten minutes of fuzzing' $linted SOIL_FUZZ_SECONDS=600 cargo test -q --locked -p net --test fuzz
  step 'fs: a million operations in memory' $linted SOIL_FS_STEPS=340000 cargo test -q --locked -p fs --lib memory::model
  lacks=$(tools/setup/armtest.py --missing)
  if [ -z "$lacks" ]; then
    step 'cargo test, for arm64' tools/setup/armtest.py
  else
    leave_out "cargo test, for arm64: $lacks"
  fi
  step 'weak memory: more preemptions' $linted SOIL_TEST_LONG=1 cargo loom -q --locked
  step 'threads: more schedules' $linted SOIL_TEST_LONG=1 cargo test -q --locked -p kernel --lib scheduler::model
  step 'leader and followers: more schedules' $linted SOIL_TEST_LONG=1 cargo test -q --locked -p reactor --test model
  step 'races in an optimised build' cargo test -q --locked --release -p drivers --lib race
  if git rev-parse -q --verify HEAD~20 >/dev/null 2>&1; then
    step 'mutants of what changed' env BASE=HEAD~20 tools/setup/mutants.py
  else
    leave_out 'mutants of what changed: no commit HEAD~20 here to compare with'
  fi
fi
rest step 'mutants: the tool' tools/setup/mutantstest.py
rest step 'set-up and apt' tools/setup/apttest.sh
rest step 'set-up for arm64' tools/setup/crosstest.sh
until [ -e "$built" ] || ! kill -0 "$row" 2>/dev/null; do sleep 0.2; done
rest step 'set-up and install' tools/setup/selftest.sh
rest step 'packages, each alone' tools/setup/alonetest.sh
# The suite by the commit, so that each has its turn.
number=$(git rev-list --count HEAD 2>/dev/null || echo 0)
# shellcheck disable=SC2046
rest step 'make run in a bare Debian' tools/setup/bare.sh $(echo bookworm trixie forky | cut -d ' ' -f $((number % 3 + 1))) make run CHECK=1
if [ -n "$long" ]; then suite=; else suite=--short; fi
# shellcheck disable=SC2086
rest step 'release archive and opam' tools/setup/opamtest.sh $suite
# shellcheck disable=SC2086
rest step 'builds without Rust' tools/setup/prebuilttest.sh $suite
# shellcheck disable=SC2086
rest step "OCaml's own tests" tests/ocaml-suite/run.py $suite
# The second row's output so far, and its further output.
tail -n +1 -s 0.2 -f --pid="$row" "$work/second"
wait "$row" || echo '0 1 0 the second row' >>"$counts"
if [ -n "$long" ]; then
  step 'end to end' tests/run.py --no-build --again --long
  under_kvm --long
  # Threads, the C library, `Unix`, files and the network.
  several='datagrams/ dns/ disks/ file_ranges/ http/ lwt/ network/ programs/ standard_streams/ tasks/
    threads/ tls/ unmodified/ wire/'
  step 'what they run on several processors' tests/run.py --build --cpus 2
  for cpus in 2 4 8; do
    # shellcheck disable=SC2086
    step "end to end, on $cpus processors" tests/run.py --no-build --again --cpus "$cpus" $several
  done
  if [ -e "$work/arm64" ]; then
    step 'end to end, for arm64' tests/run.py --no-build --again --long --arch aarch64
    step "OCaml's own tests, for arm64" tests/ocaml-suite/run.py --arch aarch64
  fi
  step "Lwt's own tests" tests/lwt-suite/run.py
fi

printf '\nthe slowest:\n'
sort -rn "$slow" | head -n 10 | sed 's/^\([0-9.]*\) /  \1 s  /'
if [ -e "$over" ]; then
  printf 'a fifth over their budget in tests/budgets.tsv:\n'
  cat "$over"
fi
cat "$left_out" 2>/dev/null
printf 'all steps took %d s\n' $(($(date +%s) - start))
cat "$flaky"
tests/harness/flaky.py record "$flaky"
awk -v left_out="$(cat "$left_out" 2>/dev/null | wc -l)" '
  { passed += $1; failed += $2; skipped += $3 }
  $2 > 0 { sub(/^[0-9]+ [0-9]+ [0-9]+ /, ""); failures = failures ", " $0 }
  END {
    if (failures) print "failed: " substr(failures, 3)
    print passed + 0 " passed, " failed + 0 " failed, " skipped + left_out " skipped"
    exit failed > 0
  }' "$counts"
