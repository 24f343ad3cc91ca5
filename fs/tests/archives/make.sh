#!/bin/sh
# Remakes the archives here: one tree in the formats of GNU tar and of Python's tarfile, and one of
# cpio.
set -eu
cd "$(dirname "$0")"
here=$(pwd) LC_ALL=C.UTF-8
export LC_ALL
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cd "$tree"

deep=a-directory-with-a-rather-long-name-for-its-kind/and-another-one-below-it-that-is-not-short-either
mkdir -p empty docs "$deep"
seq 1 300 > docs/numbers.txt
printf 'hello\n' > hello.txt
printf 'long\n' > "$deep/a-file-whose-path-has-more-than-a-hundred-characters-in-all.txt"
: > nothing
ln hello.txt docs/hard.txt
ln -s ../hello.txt docs/link
printf 'grüße\n' > 'docs/Übung 日本.txt'
printf 'read-only\n' > fixed
chmod 444 fixed
name=$(printf 'n%.0s' $(seq 1 180))
printf 'name\n' > "docs/$name"
ln -s "$deep/a-file-whose-path-has-more-than-a-hundred-characters-in-all.txt" far
find . -exec touch -h -d '2023-11-14 22:13:20.25 UTC' {} +

pack() { # FORMAT WHAT…
    format=$1
    shift
    tar --format="$format" --sort=name --owner=0 --group=0 --numeric-owner -b 1 -cf "$here/$format.tar" "$@"
}
pack gnu .
pack posix --pax-option=delete=atime,delete=ctime .
# These two can't hold all of the names.
pack ustar --exclude='./docs/nn*' --exclude=far .
pack v7 --exclude='./docs/nn*' --exclude='a-directory*' --exclude=far .
python3 - "$here/python.tar" <<'PY'
import sys, tarfile
with tarfile.open(sys.argv[1], "w", format=tarfile.PAX_FORMAT) as archive:
    def plain(member):
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member
    archive.add(".", filter=plain)
PY

# An initrd, in cpio's format newc.
rm -r "$tree"/*
mkdir -p etc/app var/empty dev
printf 'a=b\n' > etc/app/settings
ln etc/app/settings etc/app/same
: > etc/empty
ln -s ../run var/run
head -c 20000 /dev/zero | tr '\0' x > large
mkfifo dev/pipe
find . -exec touch -h -d @1700000000 {} +
find . | sort | cpio -o -H newc --quiet > "$here/gnu.cpio"
