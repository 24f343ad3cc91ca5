#!/bin/sh
# What images for arm64 are built with on another machine, from Debian's packages for arm64:
# OCaml's compiler and standard library, musl, and libraries on request. The packages are unpacked
# for this user in ~/.cache/soil/aarch64: nothing is installed or removed, dpkg gets no foreign
# architecture, and root isn't needed. `setup.sh ensure aarch64` and `soil doctor --arch aarch64
# --fix` call this script, which uses no other file of Soil.
#
#   cross.sh ensure [PACKAGE…]  fetch what is missing. PACKAGE: Debian's name of an OCaml library
#                               (libzarith-ocaml-dev) or of a C library (libgmp-dev)
#   cross.sh apt                read the lists of packages for arm64; print the configuration with
#                               which apt uses them
#   cross.sh rust               add Rust's library for arm64, which only Soil's own build needs: by
#                               rustup, or for Debian's rustc from its package for arm64
#   cross.sh missing [PACKAGE…] print what is missing, a line for each; status 1 if there is any
#   cross.sh environment        shell commands that name the toolchain to findlib and dune
#   cross.sh rust-environment   the part of them that puts a rustc with that library first on PATH
#
# The compiler is Debian's bytecode one, run by this machine's ocamlrun of the same version:
# bytecode is the same on all machines, and much faster here than arm64 code in an emulator. apt
# reads this machine's own sources, with a state of its own, and checks their signatures; each
# package is checked against its SHA-256 and kept, so that an interrupted run continues.
set -eu

target=aarch64-unknown-linux-gnu
triplet=aarch64-linux-gnu
tree=${XDG_CACHE_HOME:-$HOME/.cache}/soil/aarch64
root=$tree/root
rust_tree=$tree/rust
# The last one also has findlib's files of OCaml's own libraries.
base="ocaml ocaml-base libstdlib-ocaml libstdlib-ocaml-dev libcompiler-libs-ocaml-dev"

say() { printf 'cross: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

version() { ocamlc -version 2>/dev/null || true; }

# The packages that were requested by this and earlier runs.
requested() {
  { cat "$tree/requested" 2>/dev/null || true; for name in "$@"; do echo "$name"; done; } |
    sort -u | tr '\n' ' '
}
# What the unpacked tree has to consist of: the form of its wrappers and of findlib's files, the
# place, which they name, and the packages.
goal() { echo "3 $tree OCaml $(version) $base $(requested "$@")"; }
present() { [ "$(cat "$root/.of" 2>/dev/null)" = "$(goal "$@")" ]; }

# Whether the library for Debian's rustc was unpacked, for the rustc that is on PATH.
rust_goal() { echo "$rust_tree $(rustc -vV 2>/dev/null)"; }
rust_is_unpacked() { [ -d "$rust_tree" ] && [ "$(cat "$rust_tree/.of" 2>/dev/null)" = "$(rust_goal)" ]; }
rust_environment() {
  if rust_is_unpacked; then echo "export PATH='$rust_tree/bin':\"\$PATH\""; fi
}
rust_libraries() (
  eval "$(rust_environment)"
  PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
  rustc --print target-libdir --target "$target" 2>/dev/null || true
)
rust_present() { ls "$(rust_libraries)"/libcore-*.rlib >/dev/null 2>&1; }

# Prints what is missing of the compilers and these packages.
missing() {
  command -v $triplet-gcc >/dev/null ||
    echo "C compiler: run as root:  apt-get install gcc-$triplet libc6-dev-arm64-cross"
  [ -n "$(version)" ] || echo "OCaml: run  soil doctor --fix"
  present "$@" || echo "OCaml for arm64: run  soil doctor --arch aarch64 --fix"
  rust_present || echo "Rust for arm64, for Soil's own build: run  tools/setup/cross.sh rust"
}

# apt with the sources and keys of this machine and a state of its own, for arm64 alone.
private_apt() {
  mkdir -p "$tree/apt/lists/partial" "$tree/apt/cache/archives/partial"
  : >"$tree/apt/status"
  cat >"$tree/apt/apt.conf" <<END
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
Dir::State "$tree/apt";
Dir::State::lists "$tree/apt/lists";
Dir::State::status "$tree/apt/status";
Dir::Cache "$tree/apt/cache";
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
END
}
apt_get() { LC_ALL=C apt-get -c "$tree/apt/apt.conf" "$@"; }
apt_cache() { LC_ALL=C apt-cache -c "$tree/apt/apt.conf" "$@"; }
# Takes the lock of the tree, and reads apt's lists.
begin() {
  mkdir -p "$tree"
  exec 9>"$tree/lock"
  if command -v flock >/dev/null; then flock 9; fi
  private_apt
  say "reading the lists of packages for arm64"
  apt_get -q update >"$tree/apt/log" 2>&1 || {
    cat "$tree/apt/log" >&2
    fail "apt-get update failed: check this machine's apt sources and its network"
  }
}

# Prints a line for each OCaml for arm64 among apt's sources: its version, the package's, its suite.
offered() {
  apt_cache madison ocaml | awk -F ' *[|] *' '
    $3 ~ / arm64 Packages$/ { of = $2; sub(/^[0-9]+:/, "", of); sub(/-[^-]*$/, "", of)
      split($3, at, " "); sub("/.*", "", at[2]); print of, $2, at[2] }'
}

# Sets $suite to the release whose OCaml for arm64 has this machine's version; fails without one.
find_suite() {
  found=$(offered | awk -v of="$1" '$1 == of { print $2, $3; exit }')
  [ -n "$found" ] || return 1
  package_version=${found% *}
  suite=${found#* }
}

# Fails for an OCaml whose compiler for arm64 Debian doesn't have, such as opam's.
other_ocaml() {
  known=$(offered | awk '!seen[$1]++ { print $1 }')
  [ -n "$known" ] || fail "apt's sources have no OCaml for arm64: check this machine's apt sources"
  one=$(echo "$known" | sort -V | tail -n 1)
  fail "$(command -v ocamlc) is OCaml $(version), and the compiler for arm64 has to be of the same version.
cross: Debian's releases among apt's sources have for arm64: $(echo "$known" | tr '\n' ' ')
cross: put Debian's OCaml first on PATH (apt-get install ocaml ocaml-findlib ocaml-dune), or run  \
opam switch create $one"
}

# Prints NAME=VERSION of each package to unpack: the requested ones with what they need of OCaml
# and of C libraries for development, without what the cross compiler of this machine has itself.
plan() {
  of_base=
  for name in $base; do of_base="$of_base $name=$package_version"; done
  # shellcheck disable=SC2086
  output=$(apt_get -s install --no-install-recommends -t "$suite" $of_base musl-dev "$@" 2>&1) || {
    printf '%s\n' "$output" | sed -n 's/^E: //p' >&2
    return 1
  }
  printf '%s\n' "$output" | awk -v asked=" $base musl-dev $* " '
    $1 != "Inst" { next }
    { name = $2; version = $3; sub(/^\(/, "", version) }
    index(asked, " " name " ") { print name "=" version; next }
    name ~ /^(libc6|libcrypt|linux-libc|libnsl|libgcc-.*|libncurses)-dev$/ { next }
    name ~ /^lib.*-(ocaml|dev)$/ { print name "=" version }'
}

# fetch NAME=VERSION…: puts each package into archives/, complete and checked. apt fetches only the
# files that are missing or have ended early, but takes another one of the right size.
fetch() {
  mkdir -p "$tree/archives"
  apt_get download --print-uris "$@" |
    sed -n "s/^'[^']*' \([^ ]*\) [0-9]* SHA256:\([0-9a-f]*\)\$/\2  \1/p" >"$tree/sums"
  [ "$(wc -l <"$tree/sums")" = $# ] || fail "apt names no SHA-256 for each of: $*"
  cd "$tree/archives"
  for _ in 1 2 3; do
    apt_get -q download "$@" >&2 || true
    wrong=$(LC_ALL=C sha256sum -c "$tree/sums" 2>/dev/null | sed -n 's/: FAILED.*//p')
    [ -n "$wrong" ] || return 0
    # shellcheck disable=SC2086
    rm -f $wrong
  done
  fail "these packages don't arrive whole: $(echo $wrong)
cross: check the network and run this again: the other packages are kept"
}

# unpack FOLDER: the packages of $tree/sums into a new folder.
unpack() {
  rm -rf "$1"
  mkdir -p "$1"
  while read -r _ file; do
    dpkg-deb -x "$tree/archives/$file" "$1" ||
      fail "$tree/archives/$file can't be unpacked: remove it and run this again"
  done <"$tree/sums"
}

# Writes a C compiler that also searches the tree, behind its own folders, for headers and
# libraries. It names the package of a header that is missing, if this machine has it installed.
c_compiler() {
  printf '#!/bin/sh\ntree=%s\n' "'$root/usr'" >"$root.part/bin/cc"
  cat >>"$root.part/bin/cc" <<'END'
triplet=aarch64-linux-gnu
exec 3>&1
errors=$($triplet-gcc "$@" -idirafter "$tree/include/$triplet" -idirafter "$tree/include" \
  -L"$tree/lib/$triplet" 2>&1 >&3)
status=$?
[ -z "$errors" ] || printf '%s\n' "$errors" >&2
[ $status != 0 ] || exit 0
header=$(printf '%s\n' "$errors" | sed -n 's/.*fatal error: \(.*\): No such file or directory$/\1/p' | head -n 1)
if [ -n "$header" ]; then
  package=$(dpkg-query -S "/usr/include/$header" "/usr/include/*-linux-gnu/$header" 2>/dev/null |
    sed -n 's/[:,].*//p' | head -n 1)
  echo "$header is missing for arm64: run  soil doctor --arch aarch64 --fix ${package:-PACKAGE, with \
Debian's package of it}" >&2
fi
exit $status
END
  chmod +x "$root.part/bin/cc"
}

# Writes the compiler's wrappers and the configuration of findlib into the tree.
configure() {
  library=$root/usr/lib/$triplet/ocaml/$(version)
  [ -f "$root.part/usr/lib/$triplet/ocaml/$(version)/libasmrun.a" ] ||
    fail "Debian's ocaml for arm64 has another layout: it has no libasmrun.a for $(version)"
  ocamlrun=$(command -v ocamlrun) || fail "ocamlrun is missing beside $(command -v ocamlc)"
  mkdir -p "$root.part/bin" "$root.part/findlib.conf.d"
  for program in ocamlc ocamlopt ocamldep ocamlobjinfo ocamllex ocamlmklib ocamlmktop ocamlcp \
    ocamloptp; do
    file=usr/bin/$program.byte
    [ -f "$root.part/$file" ] || file=usr/bin/$program
    [ -f "$root.part/$file" ] || continue
    {
      printf '#!/bin/sh\nexport OCAMLLIB=%s\n' "'$library'"
      printf 'set -- %s %s "$@"\n' "'$ocamlrun'" "'$root/$file'"
      # dune compiles C with the compiler that this names.
      case $program in
      ocamlc | ocamlopt)
        printf 'if [ "$3" = -config ]; then "$@" | sed %s; exit; fi\n' \
          "'s|^\\([a-z_]*c_compiler: \\)$triplet-gcc|\\1$root/bin/cc|'"
        ;;
      esac
      echo 'exec "$@"'
    } >"$root.part/bin/$program"
    chmod +x "$root.part/bin/$program"
  done
  c_compiler
  for program in ocamlyacc ocaml; do
    if own=$(command -v $program); then ln -s "$own" "$root.part/bin/$program"; fi
  done
  programs="ocamlc ocamlopt ocamldep ocamlmklib ocamlmktop ocamlcp"
  own=$(ocamlfind printconf conf 2>/dev/null || true)
  {
    echo "# Written by Soil: this machine's own configuration, beside the toolchain aarch64."
    if [ -f "$own" ]; then cat "$own"; fi
    # dune 3.24 takes a compiler that only a toolchain sets for an empty name, and fails.
    for program in $programs; do
      cat "$own" "$own.d"/*.conf 2>/dev/null | grep -q "^ *$program *=" ||
        echo "$program=\"$program\""
    done
  } >"$root.part/findlib.conf"
  for other in "$own.d"/*.conf; do
    if [ -f "$other" ]; then cp "$other" "$root.part/findlib.conf.d/"; fi
  done
  {
    printf '%s(aarch64)="%s"\n' path "$tree/lib:$library:$library/METAS" destdir "$tree/lib" \
      stdlib "$library" ldconf ignore
    for program in $programs; do printf '%s(aarch64)="%s"\n' "$program" "$root/bin/$program"; done
  } >"$root.part/findlib.conf.d/aarch64.conf"
}

# The library for arm64 of the Debian package that has this machine's rustc, unpacked, and a rustc
# that finds it beside this machine's own. Fails if the rustc isn't Debian's.
unpack_rust() {
  rustc=$(command -v rustc) || return 1
  # dpkg knows files by the paths in their packages.
  package=$(dpkg-query -S "$(readlink -f "$rustc")" 2>/dev/null | sed -n 's/[:,].*//p' | head -n 1)
  [ -n "$package" ] || return 1
  # shellcheck disable=SC2016
  library=$(dpkg-query -W -f '${Depends}' "$package" | tr ', ' '\n\n' |
    grep -x -e 'libstd-rust[a-z-]*-dev' | head -n 1)
  # shellcheck disable=SC2016
  wanted=$(dpkg-query -W -f '${Version}' "$package" | sed 's/+b[0-9]*$//')
  [ -n "$library" ] || return 1
  begin
  found=$(apt_cache madison "$library" |
    awk -F ' *[|] *' -v of="$wanted" '
      { version = $2; sub(/\+b[0-9]+$/, "", version) } version == of { print $2; exit }')
  [ -n "$found" ] || fail "apt's sources have no $library $wanted for arm64, the version of \
$rustc: run  apt-get update; apt-get upgrade"
  say "fetching $library for arm64 into $rust_tree, unpacked, not installed"
  fetch "$library=$found"
  part=$rust_tree.part
  unpack "$part"
  sysroot=$(rustc --print sysroot)
  mkdir -p "$part/bin" "$part/sysroot/lib/rustlib"
  ln -s "$sysroot"/lib/rustlib/* "$part/sysroot/lib/rustlib/"
  ln -s "../../../usr/lib/rustlib/$target" "$part/sysroot/lib/rustlib/$target"
  printf '#!/bin/sh\nexec %s --sysroot %s "$@"\n' "'$rustc'" "'$rust_tree/sysroot'" \
    >"$part/bin/rustc"
  chmod +x "$part/bin/rustc"
  rust_goal >"$part/.of"
  rm -rf "$rust_tree"
  mv "$part" "$rust_tree"
}

rust() {
  ! rust_present || return 0
  PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
  if command -v rustup >/dev/null; then
    # The toolchain is that of the rustc in use, which may not be the default one.
    name=$(rustc --print sysroot 2>/dev/null | sed -n '/\/toolchains\//s,.*/,,p')
    if [ -n "$name" ] && rustup target add --toolchain "$name" $target >&2; then return 0; fi
  fi
  if unpack_rust && rust_present; then return 0; fi
  fail "this Rust ($(rustc --version 2>/dev/null || echo none)) has no library for $target:
cross: run  rustup target add $target, or put a Rust of rustup's or Debian's first on PATH"
}

ensure() {
  for tool in apt-get apt-cache dpkg-deb sha256sum awk; do
    command -v $tool >/dev/null || fail "$tool is missing: this needs Debian's tools"
  done
  [ -n "$(version)" ] || fail "no ocamlc on PATH: install OCaml first ('soil doctor --fix')"
  if ! present "$@"; then
    begin
    find_suite "$(version)" || other_ocaml
    # shellcheck disable=SC2046
    packages=$(plan $(requested "$@")) || fail "apt finds no way to get $* for arm64"
    count=$(echo "$packages" | wc -l)
    say "fetching $count packages for arm64 into $tree, unpacked, not installed"
    # shellcheck disable=SC2086
    fetch $packages
    unpack "$root.part"
    configure
    goal "$@" >"$root.part/.of"
    for name in "$@"; do echo "$name"; done >>"$tree/requested"
    rm -rf "$root.old"
    [ ! -e "$root" ] || mv "$root" "$root.old"
    mv "$root.part" "$root"
    rm -rf "$root.old"
  fi
  command -v $triplet-gcc >/dev/null ||
    fail "the C compiler for arm64 is missing: run as root:  apt-get install gcc-$triplet \
libc6-dev-arm64-cross"
}

case ${1:-} in
ensure)
  shift
  ensure "$@"
  ;;
apt)
  begin
  echo "$tree/apt/apt.conf"
  ;;
rust) rust ;;
missing)
  shift
  lines=$(missing "$@")
  [ -z "$lines" ] || { echo "$lines"; exit 1; }
  ;;
environment)
  echo "export OCAMLFIND_CONF='$root/findlib.conf'"
  rust_environment
  ;;
rust-environment) rust_environment ;;
*)
  sed -n '2,/^set -eu/p' "$0" | sed '$d;s/^# \{0,1\}//'
  exit 2
  ;;
esac
