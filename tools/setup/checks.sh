# Sourced by the tests in this folder (`. tools/setup/checks.sh`): counts passed and failed checks.
passed=0
failed=0

# more: prints a script's details of a failure.
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

# counts: prints them; success if nothing failed.
counts() {
  printf '%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" = 0 ]
}
