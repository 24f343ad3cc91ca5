#!/bin/sh
# phase.sh NAME COMMAND…: a part of a make target. Prints its name, and at its end how long it took.
# A command that fails has the last word: one line that says what failed, and what mends it.
set -u
name=$1
shift
printf '== %s\n' "$name"
began=$(date +%s)
"$@" || exit
printf -- '-- %s: %d s\n' "$name" "$(($(date +%s) - began))"
