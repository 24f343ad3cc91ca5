#!/bin/sh
# release.sh --check        the version is the same in every file that has one, and the packages name
#                           no site of a reserved domain (RFC 2606); quick, without network
# release.sh FOLDER [URL]   a release from a clean tree, after `make test-all`: writes to FOLDER the
#                           archive with its packages for opam (archive.py), the prebuilt archives of
#                           this machine's processor and of arm64 (prebuilt.py), the bill of materials
#                           (sbom.py), SHA256SUMS with its signature by the SSH key SIGN, and the
#                           tag's message; URL is the archive's address
# release.sh --sign FOLDER  signs SHA256SUMS of a release by the key SIGN
# release.sh --verify FOLDER  whether one of release-signers signed SHA256SUMS, and that fits the
#                           files. SIGNERS=FILE names other signers (tests)
set -eu
cd "$(dirname "$0")/../.."
fail() { printf 'release: %s\n' "$*" >&2; exit 1; }

signers=${SIGNERS:-tools/setup/release-signers}
namespace=soil-release

# verify FOLDER: the signer of SHA256SUMS, by `ssh-keygen -Y` (openssh-client).
verify() {
  signer=$(ssh-keygen -Y find-principals -s "$1/SHA256SUMS.sig" -f "$signers" 2>/dev/null | head -n 1)
  [ -n "$signer" ] || fail "$1/SHA256SUMS.sig is no signature by a key of $signers: take the release from its site again"
  ssh-keygen -Y verify -q -n "$namespace" -I "$signer" -f "$signers" -s "$1/SHA256SUMS.sig" <"$1/SHA256SUMS" ||
    fail "$1/SHA256SUMS isn't what $signer signed: take the release from its site again"
  (cd "$1" && sha256sum --quiet --strict -c SHA256SUMS) || fail "files in $1 differ from SHA256SUMS: take them from the release's site again"
  echo "signed by $signer"
}
need_key() { [ -f "${SIGN:-}" ] || fail 'no key signs the digests: run  make release SIGN=FILE  with an SSH key whose public half is in tools/setup/release-signers'; }
sign() {
  need_key
  ssh-keygen -Y sign -q -n "$namespace" -f "$SIGN" "$1/SHA256SUMS" || fail "$SIGN can't sign: name the file of an SSH key"
  verify "$1"
}

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
  for file in opam/*.opam; do same "$file" "$(sed -n 's/^version: "\(.*\)"$/\1/p' "$file")"; done
  same CHANGELOG.md "$(echo "$heading" | sed 's/^## \[Unreleased\]: //; s/^## \[\(.*\)\] - [0-9-]*$/\1/')"
  ! grep -nE 'https?://([^/" ]*\.)?(example(\.(com|net|org))?|invalid|test|localhost)([/:" ]|$)' dune-project opam/*.opam >&2 || {
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
--sign | --verify)
  "${1#--}" "${2:?}"
  exit
  ;;
'' | -*) fail 'usage: release.sh --check | --sign FOLDER | --verify FOLDER | FOLDER [URL]' ;;
esac

check
need_key
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
ONLY='' tools/setup/test.sh --all
[ -z "$(git status --porcelain)" ] || fail 'the tests changed files, such as tests/flaky.tsv: commit them first'
tools/setup/prebuilt.py "$folder" >/dev/null
[ "$(uname -m)" = aarch64 ] || tools/setup/prebuilt.py "$folder" aarch64 >/dev/null
tools/setup/archive.py "$folder" ${2:+"$2"} >/dev/null
tools/setup/sbom.py >"$folder/soil-$version.cdx.json"
awk -v heading="$heading" '$0 == heading { on = 1; print "Soil " version; next } /^## / { on = 0 } on' \
  version="$version" CHANGELOG.md >"$folder/notes.md"
(cd "$folder" && sha256sum "soil-$version.tbz" "soil-$version.cdx.json" "soil-$version"-prebuilt-*.tar.xz >SHA256SUMS)
sign "$folder"
echo "$folder has the release. Tag it:"
# Without the option git removes the headings of the message.
echo "  git tag --annotate --cleanup=whitespace --file=$folder/notes.md v$version"
