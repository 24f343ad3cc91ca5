# Read by the tests in this folder (`. tools/setup/checks.sh`): counts what holds and what doesn't.
passed=0
failed=0

# more: what else a script has to say of a failure.
more() { :; }

# check NAME EXPECTED FOUND
check() {
  if [ "$2" = "$3" ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAILED %s\n  expected: %s\n  found:    %s\n' "$1" "$2" "$3"
    more
  fi
}

# counts: says them; success if nothing failed.
counts() {
  printf '%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" = 0 ]
}
