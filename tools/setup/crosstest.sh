#!/bin/sh
# Tests of cross.sh, with the real apt and a generated archive for arm64, in a separate folder: they
# neither query nor change this machine.
set -u
cd "$(dirname "$0")/../.." || exit 1
for tool in apt-get apt-cache dpkg-deb; do
  if ! command -v $tool >/dev/null; then
    echo "no $tool here: the tests of cross.sh are left out"
    exit 0
  fi
done
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
. tools/setup/checks.sh
more() { tail -n 5 "$work/log"; }

# A machine with its own sources, amd64 alone, and OCaml 5.3.0; without a network.
for folder in bin home etc/apt/preferences.d etc/apt/apt.conf.d dpkg archive; do
  mkdir -p "$work/$folder"
done
: >"$work/dpkg/status"
printf 'deb [trusted=yes] file:%s/archive old main\ndeb [trusted=yes] file:%s/archive new main\n' \
  "$work" "$work" >"$work/etc/apt/sources.list"
cat >"$work/apt.conf" <<END
Dir::State "$work/state";
Dir::State::status "$work/dpkg/status";
Dir::Etc "$work/etc/apt";
Dir::Log "$work";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
Acquire::AllowInsecureRepositories "true";
APT::Update::Post-Invoke { "echo hook >$work/hook"; };
END

# stand_in NAME TEXT
stand_in() {
  printf '#!/bin/sh\n%s\n' "$2" >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}
# shellcheck disable=SC2016
stand_in ocamlc '[ "$1" = -version ] && cat "$WORK/version"'
# shellcheck disable=SC2016
stand_in ocamlrun 'case $* in
*" -config") echo "c_compiler: aarch64-linux-gnu-gcc" ;;
*) echo "$OCAMLLIB $*" ;;
esac'
stand_in ocamlfind "echo $work/etc/findlib.conf"
# shellcheck disable=SC2016
stand_in aarch64-linux-gnu-gcc 'case $* in
*needs.c*) echo "needs.c:1:10: fatal error: $(cat "$WORK/header"): No such file or directory" >&2; exit 4 ;;
*) echo "$*" ;;
esac'
# This machine has rustc from Debian's rustc-web, and zlib's headers.
# shellcheck disable=SC2016
stand_in dpkg-query 'case $* in
"-S "*rustc) echo "rustc-web: $2" ;;
*/zlib.h*) echo "zlib1g-dev:amd64: /usr/include/zlib.h" ;;
*Depends*) echo "libc6, libstd-rust-web-dev (= 1.96-1+b2), gcc" ;;
*Version*) cat "$WORK/rust" ;;
*) exit 1 ;;
esac'
# shellcheck disable=SC2016
stand_in rustc 'root=/sysroot
[ "$1" != --sysroot ] || { root=$2; shift 2; }
case $* in
"--print sysroot") echo "$root" ;;
"--print target-libdir --target "*) echo "$root/lib/rustlib/$4/lib" ;;
*) cat "$WORK/rust" ;;
esac'
stand_in rustup 'exit 1'
echo 1.96-1+b2 >"$work/rust"
printf '%s\n' 'path="/usr/lib/ocaml"' 'ocamlc="ocamlc.opt"' >"$work/etc/findlib.conf"
echo 5.3.0 >"$work/version"
# apt, whose downloads a test may spoil: $WORK/spoil has the start of a file's name and a command.
# shellcheck disable=SC2016
stand_in apt-get 'case " $* " in
*" --print-uris "* | *" -s "*) exec '"$(command -v apt-get)"' "$@" ;;
esac
'"$(command -v apt-get)"' "$@" || exit
case " $* " in *" download "*) ;; *) exit 0 ;; esac
[ ! -f "$WORK/spoil" ] || . "$WORK/spoil"'

# deb SUITE NAME VERSION DEPENDS [FILE…]: a package for arm64, in the suite's list.
deb() {
  suite=$1 name=$2 version=$3 depends=$4
  shift 4
  tree=$work/deb
  rm -rf "$tree"
  mkdir -p "$tree/DEBIAN"
  printf 'Package: %s\nVersion: %s\nArchitecture: arm64\nMaintainer: x\nDescription: x\n' \
    "$name" "$version" >"$tree/DEBIAN/control"
  [ -z "$depends" ] || printf 'Depends: %s\n' "$depends" >>"$tree/DEBIAN/control"
  for file in "$@"; do
    mkdir -p "$tree/$(dirname "$file")"
    echo "$name $version" >"$tree/$file"
  done
  file=${name}_${version}_arm64.deb
  dpkg-deb --root-owner-group -b "$tree" "$work/archive/$file" >/dev/null
  {
    cat "$tree/DEBIAN/control"
    printf 'Filename: %s\nSize: %s\nSHA256: %s\n\n' "$file" "$(wc -c <"$work/archive/$file")" \
      "$(sha256sum "$work/archive/$file" | cut -d' ' -f1)"
  } >>"$work/archive/$suite.list"
}
# release SUITE: writes the suite's lists.
release() {
  folder=$work/archive/dists/$1
  mkdir -p "$folder/main/binary-arm64" "$folder/main/binary-amd64"
  cp "$work/archive/$1.list" "$folder/main/binary-arm64/Packages"
  : >"$folder/main/binary-amd64/Packages"
  {
    printf 'Origin: Debian\nSuite: %s\nCodename: %s\nComponents: main\n' "$1" "$1"
    printf 'Architectures: amd64 arm64\nSHA256:\n'
    for arch in amd64 arm64; do
      file=main/binary-$arch/Packages
      sum=$(sha256sum "$folder/$file" | cut -d' ' -f1)
      printf ' %s %s %s\n' "$sum" "$(wc -c <"$folder/$file")" "$file"
    done
  } >"$folder/Release"
}
library=usr/lib/aarch64-linux-gnu/ocaml
ocaml() { # ocaml SUITE VERSION
  of=${2%-*}
  deb "$1" ocaml "$2" "libstdlib-ocaml-dev (= $2), ocaml-base (= $2), gcc" usr/bin/ocamlopt.byte \
    usr/bin/ocamlc.byte usr/bin/ocamldep.byte usr/bin/ocamlmklib
  deb "$1" ocaml-base "$2" 'libc6' usr/bin/ocamlrun
  deb "$1" libcompiler-libs-ocaml-dev "$2" '' $library/"$of"/unix/META
  deb "$1" libstdlib-ocaml "$2" '' $library/"$of"/stdlib.cma
  deb "$1" libstdlib-ocaml-dev "$2" "libstdlib-ocaml (= $2)" $library/"$of"/libasmrun.a
}
ocaml old 4.13.1-4
ocaml new 5.3.0-3
for name in libc6 gcc libgmp10; do deb new $name 1 ''; done
deb new libgmp-dev 6 'libgmp10' usr/lib/aarch64-linux-gnu/libgmp.a
deb new libc6-dev 1 'libc6' usr/include/stdio.h
deb new libstd-rust-web-dev 1.95-1 '' usr/lib/rustlib/other
deb new libstd-rust-web-dev 1.96-1+b1 '' \
  usr/lib/rustlib/aarch64-unknown-linux-gnu/lib/libcore-1.rlib
deb new musl-dev 1.2.5 '' usr/lib/aarch64-linux-musl/libc.a
deb new libzarith-ocaml 1 'libgmp10' $library/5.3.0/zarith/zarith.cma
deb new linux-image-cloud-arm64 6.1-2 'linux-image-6.1.0-2-cloud-arm64 (= 6.1-2)'
deb new linux-image-6.1.0-2-cloud-arm64 6.1-2 'linux-modules-6.1.0-2, kmod' boot/vmlinuz-6.1.0-2
deb new linux-modules-6.1.0-2 6.1-2 '' usr/lib/modules/6.1.0-2/modules.builtin
deb new libzarith-ocaml-dev 1 'libzarith-ocaml, libgmp-dev, libc6-dev' $library/5.3.0/zarith/META
release old
release new

tree=$work/home/.cache/soil/aarch64
cross() {
  env -i PATH="$work/bin:$PATH" HOME="$work/home" WORK="$work" APT_CONFIG="$work/apt.conf" \
    sh tools/setup/cross.sh "$@" >"$work/log" 2>&1
}
kernel() {
  env -i PATH="$work/bin:$PATH" HOME="$work/home" WORK="$work" APT_CONFIG="$work/apt.conf" \
    sh tools/setup/setup.sh kernel cloud-arm64 >"$work/log" 2>&1
}
archives() { (cd "$tree/archives" && ls | sed 's/_.*//' | LC_ALL=C sort | tr '\n' ' '); }

cross missing
check 'a bare machine lacks OCaml for arm64' 1 "$(grep -c 'OCaml for arm64: run' "$work/log")"

# Packages that end early, or have other contents, are fetched again, and no other.
# shellcheck disable=SC2016
echo 'for file in musl-dev_* ocaml-base_*; do [ ! -f "$file" ] || : >"$file"; done
echo other >>"$(echo libstdlib-ocaml_*)"' >"$work/spoil"
cross ensure
check 'a network that ends early: status' 1 "$?"
check 'a network that ends early: it says so' 1 "$(grep -c "don't arrive whole" "$work/log")"
check 'a network that ends early: whole packages are kept' \
  'libcompiler-libs-ocaml-dev libstdlib-ocaml-dev ocaml ' \
  "$(archives)"
check 'a network that ends early: no tree' no "$([ -e "$tree/root" ] && echo yes || echo no)"
rm "$work/spoil"
# The packages that apt fetched.
fetched() { sed -n 's/^Get:.* arm64 \([^ ]*\) arm64 .*/\1/p' "$work/log" | sort | tr '\n' ' '; }
cross ensure
check 'afterwards: status' 0 "$?"
check 'afterwards: only the rest is fetched' \
  'libstdlib-ocaml musl-dev ocaml-base ' "$(fetched)"
check 'the release is that of this OCaml, without what is not needed' \
  'libcompiler-libs-ocaml-dev libstdlib-ocaml libstdlib-ocaml-dev musl-dev ocaml ocaml-base ' \
  "$(archives)"
check "this machine's hooks don't run" no "$([ -e "$work/hook" ] && echo yes || echo no)"
check "dpkg's state is as before" '' "$(cat "$work/dpkg/status")"

check 'the wrapper runs the bytecode compiler by this ocamlrun' \
  "$tree/root/$library/5.3.0 $tree/root/usr/bin/ocamlopt.byte -c a.ml" \
  "$("$tree/root/bin/ocamlopt" -c a.ml)"
check 'dune gets the C compiler that searches the tree' "c_compiler: $tree/root/bin/cc" \
  "$("$tree/root/bin/ocamlc" -config)"
cc() { PATH="$work/bin:$PATH" WORK="$work" "$tree/root/bin/cc" "$@" 2>&1; }
check 'it searches the tree last' "-c a.c -idirafter $tree/root/usr/include/aarch64-linux-gnu \
-idirafter $tree/root/usr/include -L$tree/root/usr/lib/aarch64-linux-gnu" "$(cc -c a.c)"
echo zlib.h >"$work/header"
check 'a missing header: status' 4 "$(cc -c needs.c >/dev/null; echo $?)"
check 'a missing header: the command that brings it' \
  'zlib.h is missing for arm64: run  soil doctor --arch aarch64 --fix zlib1g-dev' \
  "$(cc -c needs.c | tail -n 1)"
echo mine.h >"$work/header"
check 'an unknown header: whose package to find' 1 "$(cc -c needs.c | grep -c -e '--fix PACKAGE')"

# Rust's library, for Debian's rustc of the same version.
echo 1.97-1 >"$work/rust"
check 'Rust of a version that Debian has not: status' 1 "$(cross rust; echo $?)"
check 'Rust of a version that Debian has not: named' 1 \
  "$(grep -c 'no libstd-rust-web-dev 1.97-1 for arm64' "$work/log")"
echo 1.96-1+b2 >"$work/rust"
check "Debian's Rust: status" 0 "$(cross rust; echo $?)"
check "Debian's Rust: its library is found" "$tree/rust/sysroot/lib/rustlib/aarch64-unknown-linux-gnu\
/lib" "$(PATH="$work/bin:$PATH" "$tree/rust/bin/rustc" --print target-libdir --target \
  aarch64-unknown-linux-gnu)"
check "Debian's Rust: with its files" 'libstd-rust-web-dev 1.96-1+b1' \
  "$(cat "$tree/rust/sysroot/lib/rustlib/aarch64-unknown-linux-gnu/lib/libcore-1.rlib")"
check "Debian's Rust: nothing more to do" '' "$(cross rust; cat "$work/log")"
cross missing
check "Debian's Rust: nothing is missing" '' "$(cat "$work/log")"
cross rust-environment
check "Debian's Rust: it is first on PATH" "export PATH='$tree/rust/bin':\"\$PATH\"" \
  "$(cat "$work/log")"
echo 1.96-2 >"$work/rust"
check 'a newer rustc has no library' '' "$(cross rust-environment; cat "$work/log")"
rm -r "$tree/rust"

check 'findlib has the machine as before' 'path="/usr/lib/ocaml"' \
  "$(grep ^path "$tree/root/findlib.conf")"
check 'findlib has each compiler without a toolchain, too, once' 'ocamlc="ocamlc.opt"
ocamlopt="ocamlopt"
ocamldep="ocamldep"
ocamlmklib="ocamlmklib"
ocamlmktop="ocamlmktop"
ocamlcp="ocamlcp"' "$(grep ^ocaml "$tree/root/findlib.conf")"
check 'findlib has the toolchain' "ocamlopt(aarch64)=\"$tree/root/bin/ocamlopt\"" \
  "$(grep '^ocamlopt(' "$tree/root/findlib.conf.d/aarch64.conf")"
cross environment
check 'the environment names it' "export OCAMLFIND_CONF='$tree/root/findlib.conf'" \
  "$(cat "$work/log")"

# Nothing to do: no apt.
mv "$work/archive" "$work/away"
check 'again, without the archive: status' 0 "$(cross ensure; echo $?)"
check 'again: silent' '' "$(cat "$work/log")"
mv "$work/away" "$work/archive"

# A library comes with what it needs of OCaml and C, and stays.
check 'a library: status' 0 "$(cross ensure libzarith-ocaml-dev; echo $?)"
check 'a library: with its C library, without that of C itself' \
  'libgmp-dev libzarith-ocaml libzarith-ocaml-dev ' "$(fetched)"
check 'a library: both are in the tree' "libgmp-dev 6 libzarith-ocaml-dev 1" "$(cat \
  "$tree/root/usr/lib/aarch64-linux-gnu/libgmp.a" "$tree/root/$library/5.3.0/zarith/META" |
  tr '\n' ' ' | sed 's/ $//')"
check 'a library is wanted from then on' 0 "$(cross ensure; echo $?)"
check 'a library is there afterwards' yes \
  "$([ -f "$tree/root/$library/5.3.0/zarith/META" ] && echo yes)"
cross missing libzarith-ocaml-dev
check 'a library is missing no longer' 0 "$(grep -c 'OCaml for arm64: run' "$work/log")"
cross missing libnone-ocaml-dev
check 'another library is missing' 1 "$(grep -c 'OCaml for arm64: run' "$work/log")"
check 'no such library: status' 1 "$(cross ensure libnone-ocaml-dev; echo $?)"
check 'no such library: named' 1 "$(grep -c 'Unable to locate package libnone' "$work/log")"
check 'no such library: the tree stays' 0 "$(cross ensure; echo $?)"

# The kernel of the peer, which needs no OCaml and leaves the tree alone.
check 'the kernel: its folder is printed' "$tree/linux" "$(kernel; tail -n 1 "$work/log")"
check 'the kernel: with the modules of their own package' "6.1.0-2 linux-modules-6.1.0-2 6.1-2" \
  "$(cat "$tree/linux/version" "$tree/linux/lib/modules/6.1.0-2/modules.builtin" | tr '\n' ' ' |
    sed 's/ $//')"
check 'the kernel: the tree stays' 0 "$(cross ensure; echo $?)"
mv "$work/archive" "$work/away"
check 'the kernel: is kept' "$tree/linux" "$(kernel; cat "$work/log")"
mv "$work/away" "$work/archive"

# Another OCaml on this machine.
echo 5.4.1 >"$work/version"
check 'an OCaml that Debian has not: status' 1 "$(cross ensure; echo $?)"
check 'an OCaml that Debian has not: named' "$work/bin/ocamlc" \
  "$(sed -n 's/^cross: \(.*\) is OCaml 5.4.1, .*/\1/p' "$work/log")"
check 'an OCaml that Debian has not: those that it has' 1 \
  "$(grep -c 'have for arm64: 4.13.1 5.3.0\|have for arm64: 5.3.0 4.13.1' "$work/log")"
check 'an OCaml that Debian has not: the remedy' 1 \
  "$(grep -c 'opam switch create 5.3.0' "$work/log")"
echo 4.13.1 >"$work/version"
check 'another version of OCaml: status' 0 "$(cross ensure; echo $?)"
check 'another version of OCaml: its compiler' \
  "$tree/root/$library/4.13.1 $tree/root/usr/bin/ocamlc.byte -v" "$("$tree/root/bin/ocamlc" -v)"

counts
