#!/bin/sh
# Tests of set-up's requests to apt, with the real apt and generated archives, in a separate folder:
# they neither query nor change this machine. A status file in that folder records what `apt-get
# install` would do.
set -u
cd "$(dirname "$0")/../.." || exit 1
if ! command -v apt-get >/dev/null; then
  echo "no apt here: its tests are left out"
  exit 0
fi
# The archives are those of a machine with x86-64, on each machine.
uname() { echo x86_64; }
. tools/setup/packages.sh
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
. tools/setup/checks.sh
more() { grep -v '^[A-Z][a-z]*:[0-9W ]' "$root/log" 2>/dev/null | tail -n 5; }

# A PATH with these programs only: it hides any OCaml or Rust of this machine.
bin=$work/bin
mkdir "$bin"
for tool in sh ls sleep awk basename cat chmod cksum comm cp cut dirname dpkg dpkg-query env grep head id ln mkdir mktemp mv rm rmdir sed sort tail tr true; do
  ln -s "$(command -v $tool)" "$bin/$tool"
done
ln -sf "$(command -v true)" "$bin/chown"
printf '#!/bin/sh\n[ "$*" = -u ] && echo 0\n' >"$work/id"
chmod +x "$work/id"
mv -f "$work/id" "$bin/id"
ln -s "$(command -v apt-cache)" "$bin/apt-cache"
# Records each install in $root/asked, and applies it to the status file.
cat >"$bin/apt-get" <<END
#!/bin/sh
case " \$* " in *' -s '* | *' update '* | *' indextargets '*) exec $(command -v apt-get) "\$@" ;; esac
case " \$* " in *' download '*) printf '%s\n' "\$*" >"\$ROOT/fetched"; exit 1 ;; esac
case " \$* " in *' install '*) ;; *) echo "apt-get was asked: \$*"; exit 99 ;; esac
words=\$(printf '%s\n' "\$*" | sed 's/.* install -q -y --no-install-recommends //')
echo "\$words" >>"\$ROOT/asked"
$(command -v apt-get) -s install --no-install-recommends \$words | awk '
  \$1 == "Inst" { version = \$3 ~ /^\[/ ? \$4 : \$3; sub(/\(/, "", version); print \$2, version }
  \$1 == "Remv" { print \$2, "gone" }' >"\$ROOT/changes"
[ -s "\$ROOT/changes" ] || exit 1
cat "\$ROOT"/archive/dists/*/main/binary-amd64/Packages >"\$ROOT/all"
awk -v RS= -v ORS='\n\n' -v changes="\$ROOT/changes" '
  BEGIN { getline text <changes; count = split(text, word, "[ \n]"); for (i = 1; i < count; i += 2) version[word[i]] = word[i + 1] }
  { split(\$0, field, "\n"); name = substr(field[1], 10); of = substr(field[2], 10) }
  FILENAME ~ /all\$/ { if ((name in version) && version[name] == of) { sub(/\nFilename.*/, "", \$0); new[name] = \$0 "\nStatus: install ok installed" } next }
  !(name in version) { print }
  END { for (name in new) print new[name] }' "\$ROOT/all" "\$ROOT/dpkg/status" >"\$ROOT/status.new"
mv "\$ROOT/status.new" "\$ROOT/dpkg/status"
while read -r name version; do
  case \$name in rustc | rustc-web | cargo | cargo-web) ;; *) continue ;; esac
  printf '#!/bin/sh\necho "%s %s"\n' "\${name%-web}" "\$version" >"\$ROOT/usr/bin/\${name%-web}"
  chmod +x "\$ROOT/usr/bin/\${name%-web}"
done <"\$ROOT/changes"
END
chmod +x "$bin/apt-get"

# stand_in NAME ANSWER
stand_in() {
  printf '#!/bin/sh\necho "%s"\n' "$2" >"$bin/$1"
  chmod +x "$bin/$1"
}
stand_in uname x86_64

# package NAME VERSION [FIELDS]: a record of an archive or of the status file. \n separates FIELDS.
package() { printf "Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: x\nDescription: x\n${3:+$3\n}Filename: pool/%s_%s.deb\nSize: 1\nSHA256: %064d\n\n" "$1" "$2" "$1" "$2" 0; }
installed() { package "$@" | sed '/^Filename\|^Size\|^SHA256/d; /^Architecture/s/$/\nStatus: install ok installed/' >>"$root/dpkg/status"; }
# names_of LIST VERSION DEPENDS
every() {
  for name in $1; do package "$name" "$2" "$3"; done
}
# release NAME [FIELDS]: an archive with the records from standard input.
release() {
  folder=$root/archive/dists/$1
  mkdir -p "$folder/main/binary-amd64"
  cat >"$folder/main/binary-amd64/Packages"
  sum=$(sha256sum "$folder/main/binary-amd64/Packages" | cut -d' ' -f1)
  size=$(wc -c <"$folder/main/binary-amd64/Packages")
  origin=Debian
  case $1 in *-backports) origin='Debian Backports' ;; esac
  printf "Origin: $origin\nLabel: $origin\nSuite: a-$1\nCodename: $1\nComponents: main\nArchitectures: amd64\n${2:+$2\n}SHA256:\n $sum $size main/binary-amd64/Packages\n" >"$folder/Release"
}
# browsers_rust VERSION: the Rust that stable releases have for their browsers.
browsers_rust() {
  package rustc-web "$1" 'Conflicts: rustc, rustup'
  package cargo-web "$1" "Depends: rustc-web (= $1)\nConflicts: cargo, rustup"
  package rustfmt-web "$1" 'Conflicts: rustfmt, rustup'
}
less() { # less LIST NAME…: the list without the names
  list=$1
  shift
  for name in $list; do case " $* " in *" $name "*) ;; *) printf '%s ' "$name" ;; esac; done
}

# machine NAME SUITE: a machine with only its sources and a user's own Rust, and a mirror with all
# of Debian 12, 13 and testing. QEMU 7 and 10 conflict; trixie's would remove libgnutlsxx30, which
# trixie lacks; Debian's rustup, cargo and cargo-web exclude each other.
machine() {
  root=$work/$1
  suite=$2
  mkdir -p "$root/dpkg" "$root/etc/apt/sources.list.d" "$root/etc/apt/preferences.d" "$root/etc/apt/apt.conf.d" "$root/lists/partial" "$root/cache/archives/partial" "$root/home" "$root/usr/bin"
  : >"$root/dpkg/status"
  : >"$root/asked"
  rm -f "$bin/rustc" "$bin/rustup" "$bin/ocamlopt" "$bin/ocamlfind" "$bin/ocamlc"
  stand_in rustc 'rustc 1.95.0 (abc 2026-01-01)'
  stand_in cargo 'cargo 1.95.0 (abc 2026-01-01)'
  system=$(less "$system_run $system_test $system_bench" qemu-system-x86 qemu-system-gui libc6-dev)
  ocaml=$(less "$ocaml_run $ocaml_test $ocaml_doc" ocaml ocaml-dune ocaml-odoc ocamlformat)
  {
    every "$system" 1 'Depends: libc6 (>= 2.36)'
    package libc6 2.36
    package libc6-dev 2.36 'Depends: libc6 (= 2.36)'
    package qemu-system-common 7.2 'Breaks: qemu-utils (>> 8)'
    package qemu-system-x86 7.2 'Depends: qemu-system-common (= 7.2)'
    package qemu-system-gui 7.2 'Depends: qemu-system-x86 (= 7.2)'
    package qemu-utils 7.2
    package libgnutlsxx30 3.7 'Depends: libgnutls30 (= 3.7)'
    package libgnutls30 3.7
    package libcurl4 7.88
    package ocaml 4.13.1 'Provides: ocaml-abi-4.13'
    every "$ocaml" 1 'Depends: ocaml-abi-4.13'
    every 'liblwt-ocaml-dev' 1 'Depends: ocaml-abi-4.13'
    package ocaml-dune 2.9
    package ocaml-odoc 2.1
    package ocamlformat 0.24
    package libssl3 3.0
    every "$ocaml_unpacked" 1 'Depends: ocaml-abi-4.13'
    package viewer 1 'Conflicts: qemu-system-x86'
    package cargo 0.66
    package rustc 1.63
    every 'rustfmt rust-clippy' 1.63 'Depends: rustc (= 1.63)'
    browsers_rust 1.85
  } | release bookworm
  browsers_rust 1.96.0 | release bookworm-security
  {
    package qemu-system-common 10.0.2~bpo 'Breaks: qemu-utils (<< 8)'
    package qemu-system-x86 10.0.2~bpo 'Depends: qemu-system-common (= 10.0.2~bpo), libc6 (>= 2.36)'
    package qemu-system-gui 10.0.2~bpo 'Depends: qemu-system-x86 (= 10.0.2~bpo)'
    package qemu-utils 10.0.2~bpo 'Depends: libc6 (>= 2.36)'
  } | release bookworm-backports 'NotAutomatic: yes\nButAutomaticUpgrades: yes'
  {
    every "$system" 2 'Depends: libc6 (>= 2.36)'
    package libc6 2.41
    package libc6-dev 2.41 'Depends: libc6 (= 2.41)'
    package qemu-system-common 10.0.13 'Breaks: qemu-utils (<< 10.0.13)'
    package qemu-system-x86 10.0.13 'Depends: qemu-system-common (= 10.0.13), libgnutls30t64, libc6 (>= 2.41)'
    package qemu-system-gui 10.0.13 'Depends: qemu-system-x86 (= 10.0.13)'
    package qemu-utils 10.0.13 'Depends: libc6 (>= 2.41)'
    package libgnutls30t64 3.8 'Breaks: libgnutls30\nReplaces: libgnutls30'
    package libcurl4t64 8.14 'Breaks: libcurl4\nReplaces: libcurl4\nProvides: libcurl4 (= 8.14)\nDepends: libc6 (>= 2.36)'
    package ocaml 5.3.0 'Provides: ocaml-abi-5.3\nDepends: libc6 (>= 2.38)'
    every "$ocaml" 2 'Depends: ocaml-abi-5.3'
    every 'liblwt-ocaml-dev' 2 'Depends: ocaml-abi-5.3'
    package ocaml-dune 3.17.2
    package ocaml-odoc 3.0.0
    package ocamlformat 0.27.0
    package libssl3t64 3.5 'Breaks: libssl3\nReplaces: libssl3'
    package libssl-ocaml 2 'Depends: ocaml-abi-5.3, libssl3t64'
    every "$ocaml_unpacked" 2 'Depends: ocaml-abi-5.3, libssl-ocaml'
    package cargo 1.85.0
    package rustc 1.85.0
    every 'rustfmt rust-clippy' 1.85.0 'Depends: rustc (= 1.85.0)'
    browsers_rust 1.96.0
    package viewer 2
    package rustup 1.27.1 'Depends: libc6 (>= 2.39), libcurl4t64 (>= 7.16.2)\nConflicts: cargo, rustc'
  } | release trixie
  {
    every "$system libc6-dev qemu-system-x86 qemu-system-gui" 3 ''
    package ocaml 5.4.1 'Provides: ocaml-abi-5.4'
    every "$ocaml $ocaml_unpacked" 3 'Depends: ocaml-abi-5.4'
    package ocaml-dune 3.24.1
    package ocaml-odoc 3.2.1
    package ocamlformat 0.29.0
    package cargo 1.97.1 'Conflicts: rustup'
    package rustc 1.97.1
    every 'rustfmt rust-clippy' 1.97.1 'Depends: rustc (= 1.97.1)'
    package rustup 1.27.1 'Conflicts: cargo, rustc'
    package linux-image-cloud-amd64 7.2 'Depends: linux-image-7.2-cloud-amd64'
    package linux-image-7.2-cloud-amd64 7.2 'Depends: initramfs-tools | linux-initramfs-tool, linux-base-7.2-cloud-amd64, linux-binary-7.2-cloud-amd64 (= 7.2), linux-modules-7.2-cloud-amd64 (= 7.2)'
    every 'initramfs-tools linux-base-7.2-cloud-amd64 linux-binary-7.2-cloud-amd64 linux-modules-7.2-cloud-amd64' 7.2 ''
  } | release forky
  printf 'deb [trusted=yes] file:%s/archive %s main\n' "$root" "$suite" >"$root/etc/apt/sources.list"
  cat >"$root/apt.conf" <<END
Dir::State "$root";
Dir::State::lists "$root/lists";
Dir::State::status "$root/dpkg/status";
Dir::Cache "$root/cache";
Dir::Etc "$root/etc/apt";
Dir::Log "$root";
APT::Sandbox::User "root";
APT::Architecture "amd64";
APT::Architectures "amd64";
Acquire::AllowInsecureRepositories "true";
Acquire::Languages "none";
END
}
# user_source SUITE PRIORITY: a source added by the user.
user_source() {
  printf 'deb [trusted=yes] file:%s/archive %s main\n' "$root" "$1" >"$root/etc/apt/sources.list.d/user.list"
  printf 'Package: *\nPin: release n=%s\nPin-Priority: %s\n' "$1" "$2" >"$root/etc/apt/preferences.d/user"
}
setup() {
  env -i PATH="$bin:$root/usr/bin" CI="${ci:-}" HOME="$root/home" ROOT="$root" APT_CONFIG="$root/apt.conf" DPKG_ADMINDIR="$root/dpkg" SOIL_ROOT_DIRECTORY="$root" \
    /bin/sh tools/setup/setup.sh "$@" >"$root/log" 2>&1
}
version() {
  found=$(DPKG_ADMINDIR=$root/dpkg dpkg-query -W -f '${Version}' "$1" 2>/dev/null)
  echo "${found:-none}"
}
versions() { for name in "$@"; do printf '%s ' "$(version "$name")"; done; }
suites() { sed -n 's/^Suites: //p' "$root/etc/apt/sources.list.d/soil-setup.sources" 2>/dev/null; }
# ready WHAT EXPECTED-STATUS: checks that everything of the group is installed.
ready() {
  setup packages "$1"
  check "$(basename "$root"): status" 0 "$?"
  setup packages "$1"
  check "$(basename "$root"): nothing is missing afterwards" '' "$(cat "$root/log")"
}

machine bare-12 bookworm
ready run
check 'bare 12: OCaml of 13, the rest of 12' '5.3.0 3.17.2 7.2 1 ' "$(versions ocaml ocaml-dune qemu-system-x86 gcc)"
check 'bare 12: the system in one go' 2 "$(grep -c . "$root/asked")"
ready doc
check 'bare 12: odoc of the same release as OCaml' 3.0.0 "$(version ocaml-odoc)"
ready test
check 'bare 12: ocamlformat too' 0.27.0 "$(version ocamlformat)"
check 'bare 12: what is to be taken back' 'asked ocaml' "$(grep -x 'asked ocaml' "$root/var/lib/soil-setup/packages")"
check 'bare 12: and what is not' '' "$(grep -w gcc "$root/var/lib/soil-setup/packages")"

installed libssl3 3.0
setup libraries
check 'bare 12: libraries of 13 are fetched, and no OpenSSL' \
  "$(for name in $ocaml_unpacked libssl-ocaml; do echo "$name=2"; done | sort)" \
  "$(sed 's/download -q //' "$root/fetched" | tr ' ' '\n' | sort)"
check 'bare 12: which leave that of 12' '3.0 none ' "$(versions libssl3 libssl3t64)"

machine bare-13 trixie
ready bench
check 'bare 13: everything of 13' '5.3.0 10.0.13 2 ' "$(versions ocaml qemu-system-x86 gcc)"
check 'bare 13: no source is added' '' "$(suites)"
check "bare 13: a user's own Rust is used as it is" 'none none ' "$(versions rustc rustc-web)"

machine bare-testing forky
rm "$bin/rustc" "$bin/cargo"
ready run
check 'bare testing: everything of testing, Rust too' '5.4.1 3.24.1 3 1.97.1 1.97.1 ' "$(versions ocaml ocaml-dune qemu-system-x86 rustc cargo)"
check 'bare testing: no source is added, nothing for rustup' ' none' "$(suites) $(version rustup)"
ready test
setup kernel
check "bare testing: the guest's kernel is fetched with its parts" \
  'download -q linux-image-7.2-cloud-amd64 linux-binary-7.2-cloud-amd64 linux-modules-7.2-cloud-amd64' "$(cat "$root/fetched")"
check 'bare testing: what tests check Rust with' '1.97.1 1.97.1 ' "$(versions rustfmt rust-clippy)"
check "bare testing: PostgreSQL's package makes no server" 'create_main_cluster = false' "$(sed -n 2p "$root/etc/postgresql-common/createcluster.conf")"

machine bare-13-without-rust trixie
rm "$bin/rustc" "$bin/cargo"
ready run
check 'bare 13, no Rust: that of the browsers' 'none 1.96.0 1.96.0 ' "$(versions rustc rustc-web cargo-web)"
ready test
check 'bare 13, no Rust: what tests check it with' '1.96.0 none none ' "$(versions rustfmt-web rust-clippy rustfmt)"
check 'bare 13, no Rust: no source is added' '' "$(suites)"

machine ci-13-without-rust trixie
rm "$bin/rustc" "$bin/cargo"
ci=true
check 'CI on 13, no Rust: status' 0 "$(setup packages test; echo $?)"
ci=
check "CI on 13, no Rust: clippy is rustup's" 'none none 8.14 ' "$(versions rustc rustc-web libcurl4t64)"

machine bare-12-without-rust bookworm
rm "$bin/rustc" "$bin/cargo"
ready run
check 'bare 12, no Rust: that of the browsers of 13' 'none 1.96.0 1.96.0 7.2 ' "$(versions rustc rustc-web cargo-web qemu-system-x86)"
check 'bare 12, no Rust: to be taken back' 'asked cargo-web' "$(grep cargo-web "$root/var/lib/soil-setup/packages")"

# With a recent enough OCaml, no other release is needed.
machine security-of-12 bookworm
rm "$bin/rustc" "$bin/cargo"
stand_in ocamlopt 5.4.0
user_source bookworm-security 500
setup packages run
check "security updates of 12: the browsers' Rust of them" '1.96.0 1.96.0 ' "$(versions rustc-web cargo-web)"
check 'security updates of 12: no source is added' '' "$(suites)"

# The machine on which `make run` stopped.
machine qemu-utils-of-backports bookworm
installed libc6 2.36
installed libgnutls30 3.7
installed libgnutlsxx30 3.7 'Depends: libgnutls30 (= 3.7)'
installed qemu-utils 10.0.2~bpo
ready run
check 'qemu-utils of backports: QEMU of backports' '10.0.2~bpo 10.0.2~bpo 3.7 1 ' "$(versions qemu-system-x86 qemu-utils libgnutlsxx30 gcc)"
check 'qemu-utils of backports: the rest in one go' "$(less "$system_run" qemu-system-x86)" "$(head -n 1 "$root/asked") "
ready test
check "qemu-utils of backports: QEMU's windows, too" '10.0.2~bpo 10.0.2~bpo 1 ' "$(versions qemu-system-gui qemu-system-x86 strace)"

machine qemu-utils-of-13 bookworm
installed libc6 2.41
installed qemu-utils 10.0.13 'Depends: libc6 (>= 2.41)'
ready run
check 'qemu-utils of 13: nothing goes' '10.0.13 2.41 ' "$(versions qemu-utils libc6-dev)"
case $(version qemu-system-x86) in 10.*) found=10 ;; *) found=$(version qemu-system-x86) ;; esac
check 'qemu-utils of 13: QEMU 10' 10 "$found"

machine both-in-the-way bookworm
installed libc6 2.36
installed libgnutls30 3.7
installed libgnutlsxx30 3.7 'Depends: libgnutls30 (= 3.7)'
installed qemu-utils 10.0.13 'Depends: libc6 (>= 2.36)'
rm -r "$root/archive/dists/bookworm-backports"
setup packages run
check 'no choice is left: it stops' 1 "$?"
check 'no choice is left: nothing goes' '10.0.13 3.7 ' "$(versions qemu-utils libgnutlsxx30)"
for line in 'its own choice: removes qemu-utils' 'trixie: removes libgnutlsxx30'; do
  check "no choice is left: it says '$line'" yes "$(grep -q "$line" "$root/log" && echo yes)"
done
check 'a mirror without backports' trixie "$(suites)"

# Sources in both formats: the machine's own one of Debian 12 is found, with its key.
machine deb822 bookworm
rm "$root/etc/apt/sources.list"
printf '# Types: deb\n\n# Mine.\nEnabled: no\nTypes: deb\nURIs: file:/off\nSuites: bookworm\nComponents: main\nTrusted: yes\n
Types: deb\nURIs: file:%s/archive\nSuites: bookworm-security\nComponents: main\nTrusted: yes\n
Types: deb deb-src\n# Its key.\nURIs: file:%s/archive\nSuites: a-bookworm\nComponents: main\nTrusted: yes\nsigned-by:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n' \
  "$root" "$root" >"$root/etc/apt/sources.list.d/debian.sources"
mkdir "$root/archive/dists/a-bookworm"
cp -r "$root/archive/dists/bookworm/." "$root/archive/dists/a-bookworm"
setup packages run
check 'a source in the newer format' "URIs: file:$root/archive/
signed-by:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc" "$(sed '1,/^Components/d' "$root/etc/apt/sources.list.d/soil-setup.sources")"
machine one-line bookworm
printf '# deb file:/no bookworm main\ndeb [trusted=yes] file:%s/archive bookworm-security main\ndeb [trusted=yes signed-by=/k.gpg,/l.gpg arch=amd64] file:%s/archive bookworm main contrib\n' \
  "$root" "$root" >"$root/etc/apt/sources.list"
setup packages run
check 'a source in the older format' "URIs: file:$root/archive/
Signed-By: /k.gpg /l.gpg" "$(sed '1,/^Components/d' "$root/etc/apt/sources.list.d/soil-setup.sources")"

machine ocaml-of-12 bookworm
installed ocaml 4.13.1 'Provides: ocaml-abi-4.13'
installed liblwt-ocaml-dev 1 'Depends: ocaml-abi-4.13'
installed libmtime-ocaml-dev 1 'Depends: ocaml-abi-4.13'
installed ocaml-dune 2.9
ready run
check 'OCaml of 12: upgraded with what is beside it' '5.3.0 3.17.2 2 2 ' "$(versions ocaml ocaml-dune liblwt-ocaml-dev libmtime-ocaml-dev)"
check "OCaml of 12: the user's own isn't taken back" '' "$(grep -E ' (ocaml|liblwt-ocaml-dev)$' "$root/var/lib/soil-setup/packages")"

# A package that conflicts with QEMU only in its installed version.
machine in-the-way-until-upgraded bookworm
installed libc6 2.36
installed viewer 1 'Conflicts: qemu-system-x86'
ready run
check 'in the way until upgraded: upgraded' '2 10.0.13 ' "$(versions viewer qemu-system-x86)"

machine users-13-at-100 bookworm
user_source trixie 100
ready run
check "a user's 13 at 100: OCaml of it, no more" '5.3.0 7.2 1 ' "$(versions ocaml qemu-system-x86 gcc)"
check "a user's 13 at 100: no source is added" '' "$(suites)"

machine users-13-at-500 bookworm
user_source trixie 500
ready run
check "a user's 13 at 500: as apt chooses" '5.3.0 10.0.13 2 ' "$(versions ocaml qemu-system-x86 gcc)"

machine rust-of-12 bookworm
for name in rustc cargo; do mv "$bin/$name" "$root/usr/bin"; done
printf '#!/bin/sh\necho "rustc 1.63.0"\n' >"$root/usr/bin/rustc"
installed rustc 1.63
installed cargo 0.66
installed libcurl4 7.88
ready=$(setup packages run; echo $?)
check 'Rust of 12: status' 0 "$ready"
check 'Rust of 12: rustup is unpacked beside it, so only its libraries come' 'none 1.63 0.66 8.14 2.41 ' "$(versions rustup rustc cargo libcurl4t64 libc6)"

machine rust-on-path trixie
stand_in rustc 'rustc 1.63.0'
check "a user's Rust that is too old: status" 0 "$(setup packages run; echo $?)"
check "a user's Rust that is too old: rustup, as Debian's would stand behind it" 'none none 8.14 ' "$(versions rustc rustc-web libcurl4t64)"

machine ocaml-on-path bookworm
stand_in ocamlopt 4.14.1
ready run
check "a user's OCaml that is too old: Debian's is installed" 5.3.0 "$(version ocaml)"
machine good-ocaml-on-path bookworm
stand_in ocamlopt 5.4.0
setup packages run
check "a user's OCaml that will do: none is installed" 'none 7.2 ' "$(versions ocaml qemu-system-x86)"

machine arm64 trixie
stand_in uname aarch64
setup list test
check 'arm64: its QEMU and firmware' 'qemu-efi-aarch64 qemu-system-arm qemu-system-gui qemu-utils ' \
  "$(grep '^qemu' "$root/log" | sort | tr '\n' ' ')"
setup kernel cloud-amd64
check 'arm64: its kernels' 1 "$(grep -c "no kernel 'cloud-amd64': there are cloud-arm64 and arm64" "$root/log")"
check 'arm64: no second toolchain: status' 1 "$(setup ensure aarch64; echo $?)"
check 'arm64: no second toolchain: why' 1 "$(grep -c "this machine's own" "$root/log")"

counts
