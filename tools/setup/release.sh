#!/bin/sh
# release.sh --check        the version is the same in every file that has one, and the packages name
#                           no site of a reserved domain (RFC 2606); quick, without network
# release.sh FOLDER [URL]   a release from a clean tree, with all of `make test`: writes to FOLDER the
#                           archive with its packages for opam (archive.py), the prebuilt archives of
#                           this machine's processor and of arm64 (prebuilt.py), the bill of materials
#                           (sbom.py), SHA256SUMS and the tag's message; URL is the archive's address
set -eu
cd "$(dirname "$0")/../.."
fail() { printf 'release: %s\n' "$*" >&2; exit 1; }

version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
# The heading of the version's section in CHANGELOG.md, the first one.
heading=$(grep -m 1 '^## ' CHANGELOG.md)

check() {
  wrong=
  # same FILE VERSION
  same() {
    [ "$2" = "$version" ] || {
      echo "release: $1 has version '$2', Cargo.toml has '$version'" >&2
      wrong=yes
    }
  }
  same dune-project "$(sed -n 's/^(version \(.*\))$/\1/p' dune-project)"
  for file in *.opam; do same "$file" "$(sed -n 's/^version: "\(.*\)"$/\1/p' "$file")"; done
  same CHANGELOG.md "$(echo "$heading" | sed 's/^## \[Unreleased\]: //; s/^## \[\(.*\)\] - [0-9-]*$/\1/')"
  ! grep -nE 'https?://([^/" ]*\.)?(example(\.(com|net|org))?|invalid|test|localhost)([/:" ]|$)' dune-project ./*.opam >&2 || {
    echo 'release: no site has such a name: remove the field' >&2
    wrong=yes
  }
  [ -z "$wrong" ]
}

case ${1:-} in
--check)
  check
  exit
  ;;
'' | -*) fail 'usage: release.sh --check | FOLDER [URL]' ;;
esac

check
date=${heading#"## [$version] - "}
[ "$date" != "$heading" ] || fail "CHANGELOG.md has no date: write  ## [$version] - $(date +%F)"
[ -z "$(git status --porcelain)" ] || fail 'files differ from the commit: commit them first'
! git rev-parse -q --verify "refs/tags/v$version" >/dev/null || fail "the tag v$version exists: write the next version to Cargo.toml, dune-project and CHANGELOG.md"
mkdir -p "$1"
folder=$(cd "$1" && pwd)
[ -z "$(ls -A "$folder")" ] || fail "$folder has files: name an empty folder"
missing=$(sh loader/cross.sh x86_64 aarch64)
[ -z "$missing" ] || fail "compiling for the other processor takes what is missing here: $(echo "$missing" | paste -sd" "): run  tools/setup/setup.sh ensure aarch64"

# All tests, also where ONLY selects some.
ONLY='' tools/setup/test.sh
[ -z "$(git status --porcelain)" ] || fail 'the tests changed files, such as tests/flaky.tsv: commit them first'
tools/setup/prebuilt.py "$folder" >/dev/null
[ "$(uname -m)" = aarch64 ] || tools/setup/prebuilt.py "$folder" aarch64 >/dev/null
tools/setup/archive.py "$folder" ${2:+"$2"} >/dev/null
tools/setup/sbom.py >"$folder/soil-$version.cdx.json"
awk -v heading="$heading" '$0 == heading { on = 1; print "Soil " version; next } /^## / { on = 0 } on' \
  version="$version" CHANGELOG.md >"$folder/notes.md"
(cd "$folder" && sha256sum "soil-$version.tbz" "soil-$version.cdx.json" "soil-$version"-prebuilt-*.tar.xz >SHA256SUMS)
echo "$folder has the release. Tag it:"
# Without the option git removes the headings of the message.
echo "  git tag --annotate --cleanup=whitespace --file=$folder/notes.md v$version"
