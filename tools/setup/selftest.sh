#!/bin/sh
# Tests of set-up, installation and projects outside the repository, in a separate folder.
set -u
cd "$(dirname "$0")/../.." || exit 1
repository=$PWD
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
. tools/setup/checks.sh
# holds NAME COMMAND…: the command succeeds.
holds() {
  name=$1
  shift
  if "$@" >"$work/log" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAILED %s\n' "$name"
    tail -n 20 "$work/log"
  fi
}

. tools/setup/packages.sh
# stand_ins FOLDER NAME…: programs that only record their call.
stand_ins() {
  folder=$1
  shift
  mkdir "$folder"
  for name in "$@"; do
    printf '#!/bin/sh\necho "%s was called" >>%s\nexit 99\n' "$name" "$folder-was-called" >"$folder/$name"
    chmod +x "$folder/$name"
  done
}

# Set-up with nothing to do prints nothing, and uses neither apt nor the network.
stand_ins "$work/apt" apt apt-get apt-cache curl wget
check 'set-up again' '' "$(PATH="$work/apt:$PATH" tools/setup/setup.sh ensure run 2>&1)"
check 'set-up again calls no apt' no "$([ -e "$work/apt-was-called" ] && cat "$work/apt-was-called" || echo no)"

# A toolchain that is too old, or someone else's, stays unchanged; a folder with the right one
# precedes it.
mkdir -p "$work/old" "$work/rustup/toolchains/$rust_toolchain-x/bin" "$work/rustup/toolchains/$rust_toolchain-x/lib/rustlib"
printf '#!/bin/sh\necho "rustc 1.70.0 (abc 2023-01-01)"\n' >"$work/old/rustc"
printf '#!/bin/sh\n' >"$work/rustup/toolchains/$rust_toolchain-x/bin/cargo"
chmod +x "$work/old/rustc" "$work/rustup/toolchains/$rust_toolchain-x/bin/cargo"
environment() { env PATH="$work/old:$PATH" RUSTUP_HOME="$work/rustup" XDG_CACHE_HOME="$work/cache" tools/setup/setup.sh environment; }
check 'a toolchain whose installation was interrupted' '' "$(environment)"
: >"$work/rustup/toolchains/$rust_toolchain-x/lib/rustlib/multirust-channel-manifest.toml"
check 'a Rust that is too old on PATH' "unset RUSTUP_TOOLCHAIN
export PATH='$work/rustup/toolchains/$rust_toolchain-x/bin:'\"\$PATH\"" "$(environment)"
printf '#!/bin/sh\necho "rustc 9.9.0 (abc 2023-01-01)"\n' >"$work/old/rustc"
check 'a Rust that will do on PATH' '' "$(environment)"
printf '#!/bin/sh\necho 4.14.1\n' >"$work/old/ocamlopt"
chmod +x "$work/old/ocamlopt"
mkdir -p "$work/cache/soil/ocaml"
check 'an OCaml that is too old on PATH' "export PATH='$work/cache/soil/ocaml:'\"\$PATH\"" "$(environment | tail -n 1)"

printf '#!/bin/sh\necho /usr/lib/ocaml\n' >"$work/cache/soil/ocaml/ocamlopt"
chmod +x "$work/cache/soil/ocaml/ocamlopt"
mkdir "$work/cache/soil/libraries"
: >"$work/cache/soil/libraries/.of"
check 'libraries that were unpacked' "export OCAMLPATH='$work/cache/soil/libraries/usr/lib/ocaml'\"\${OCAMLPATH:+:\$OCAMLPATH}\"" "$(environment | tail -n 1)"

# Crates of images for arm64 are compiled alike on arm64 itself and elsewhere.
mkdir "$work/processor"
printf '#!/bin/sh\necho "$MACHINE"\n' >"$work/processor/uname"
printf '#!/bin/sh\nprintf %%s "$CARGO_ENCODED_RUSTFLAGS" | tr "\\037" " "\n' >"$work/processor/cargo"
chmod +x "$work/processor/uname" "$work/processor/cargo"
outlined() {
  case $(MACHINE=$1 PATH="$work/processor:$PATH" sh kernel/cargo.sh build ${2:-}) in
  *-enable-machine-outliner=never*) echo no ;;
  *--remap-path-prefix=*) echo yes ;;
  esac
}
check 'crates for arm64, on arm64' no "$(outlined aarch64)"
check 'crates for arm64, on x86-64' no "$(outlined x86_64 --target=aarch64-unknown-linux-gnu)"
check 'crates for x86-64' yes "$(outlined x86_64)"
check 'crates of processes and programs on arm64' 'yes yes' "$(outlined aarch64 --profile=process) $(outlined aarch64 --profile=tools)"

# Without a folder of its own, a test would write to this machine's /bin.
check 'scripts end without a temporary folder' '' "$(grep '^ *[a-z]*=$(mktemp' tools/setup/*.sh | grep -v ' || [a-z]')"
for script in tools/setup/*.sh .ci/run; do holds "syntax of $script" sh -n "$script"; done

# In a folder that users share another may be first, with a link through which root would write.
check 'nothing has a fixed name in a shared folder' '' "$(grep -rnE '(^|[^A-Za-z0-9_.])(/var)?/tmp/[A-Za-z]|/dev/shm/[A-Za-z]|:-/tmp}/' Makefile tools/setup tools/src tools/tests bench/*.py tests/harness docs examples | grep -v selftest)"

# A release's digests are signed; a release that somebody changed is refused.
ssh-keygen -q -t ed25519 -N '' -f "$work/key"
ssh-keygen -q -t ed25519 -N '' -f "$work/another"
echo "maintainer namespaces=\"soil-release\" $(cat "$work/key.pub")" >"$work/signers"
mkdir "$work/release"
echo archive >"$work/release/soil.tbz"
(cd "$work/release" && sha256sum soil.tbz >SHA256SUMS)
# release WORDS…: the last line.
release() { SIGNERS=$work/signers tools/setup/release.sh "$@" 2>&1 | tail -n 1 | sed "s|$work/||g; s/: .*//"; }
check 'digests are signed' 'signed by maintainer' "$(SIGN=$work/key release --sign "$work/release")"
check 'a signed release' 'signed by maintainer' "$(release --verify "$work/release")"
echo changed >"$work/release/soil.tbz"
check 'a release with another file' release "$(release --verify "$work/release")"
check 'its status' 1 "$(SIGNERS=$work/signers tools/setup/release.sh --verify "$work/release" >/dev/null 2>&1; echo $?)"
(cd "$work/release" && sha256sum soil.tbz >SHA256SUMS)
check 'a release with other digests' 1 "$(SIGNERS=$work/signers tools/setup/release.sh --verify "$work/release" >/dev/null 2>&1; echo $?)"
rm "$work/release/SHA256SUMS.sig"
check 'digests that another key signed' 1 "$(SIGN=$work/another SIGNERS=$work/signers tools/setup/release.sh --sign "$work/release" >/dev/null 2>&1; echo $?)"
check 'a release without a key' 1 "$(SIGN='' SIGNERS=$work/signers tools/setup/release.sh --sign "$work/release" >/dev/null 2>&1; echo $?)"

# A failed build ends with what failed, and what mends it.
mkdir "$work/failing"
printf '#!/bin/sh\n' >"$work/failing/cargo"
cat >"$work/failing/dune" <<'END'
#!/bin/sh
printf 'File "examples/a/dune", line 6, characters 48-56:\n6 | (libraries b)\nError: Library "b" not found.\n-> required by alias a\n' >&2
exit 1
END
chmod +x "$work/failing/cargo" "$work/failing/dune"
check 'the last line of a failed build' 'build failed: examples/a/dune:6: Error: Library "b" not found; to mend it: install its package (tools/setup/setup.sh ensure run as root), then run  make build' \
  "$(PATH="$work/failing:$PATH" tools/setup/phase.sh building tools/setup/build.sh 2>&1 | tail -n 1)"
check 'its status' 1 "$(PATH="$work/failing:$PATH" tools/setup/phase.sh building tools/setup/build.sh >/dev/null 2>&1; echo $?)"
printf '#!/bin/sh\necho "error: failed to download b: Could not resolve host" >&2\nexit 101\n' >"$work/failing/cargo"
check 'the last line without a network' 'cargo fetch failed: error: failed to download b: Could not resolve host; to mend it: check the network, then run  make build' \
  "$(PATH="$work/failing:$PATH" tools/setup/build.sh 2>&1 | tail -n 1)"
check 'a part says how long it took' '== a part
-- a part: N s' "$(tools/setup/phase.sh 'a part' true | sed 's/: [0-9]* s/: N s/')"

# Installed in its own folder, Soil is found, builds a new project without Rust, in both forms, and
# leaves nothing behind.
prefix=$work/prefix
# Predictable names in its folder: root would write through another user's links.
mkdir "$work/shim" "$work/temporary"
cat >"$work/shim/mktemp" <<END
#!/bin/sh
mkdir "$work/temporary/private" && echo "$work/temporary/private"
END
chmod +x "$work/shim/mktemp"
for name in list old; do ln -s "$work/victim" "$work/temporary/private.$name"; done
holds 'make install' env PATH="$work/shim:$PATH" tools/setup/install.sh install "$prefix"
check 'make install writes nothing beside its folder' '' "$(cat "$work/victim" 2>/dev/null)"
rm -r "$work/shim" "$work/temporary"
holds 'the notices for programs are installed' cmp THIRD-PARTY-LICENSES "$prefix/share/doc/soil/THIRD-PARTY-LICENSES"
(. "$prefix/env" && soil doctor) >"$work/doctor.log" 2>&1
check 'soil doctor misses nothing that is needed' 0 "$?"
if grep -q MISSING "$work/doctor.log"; then cat "$work/doctor.log"; fi
holds 'pages of the manual are installed' grep -q 'disk.*check' "$prefix/share/man/man1/soil-disk.1"
holds 'the page of the variables is installed' grep -q SOIL_METADATA "$prefix/share/man/man7/soil-environment.7"
for page in README.md SECURITY.md docs/README.md docs/configuration.md docs/book/tasks.md; do
  holds "$page is installed" cmp $page "$prefix/share/doc/soil/$page"
done
cross=$work/cross/soil/aarch64/root/findlib.conf
mkdir -p "$(dirname "$cross")"
: >"$cross"
check 'the environment has the toolchain for arm64, where it is' "$prefix/share/soil/findlib.conf $cross" \
  "$(for cache in "$work/none" "$work/cross"; do XDG_CACHE_HOME=$cache sh -c '. "$1" && echo "$OCAMLFIND_CONF"' sh "$prefix/env"; done | paste -sd' ')"
check 'soil --help names the documents' 1 "$("$prefix/bin/soil" --help | grep -c "Documents: $prefix/share/doc/soil: ")"
# As bash calls it: the words, and the index of the one to complete.
completed=$(bash -c '. "$1" && COMP_WORDS=(soil com) COMP_CWORD=1 && _soil soil com soil && echo "${COMPREPLY[@]}"' bash "$prefix/share/bash-completion/completions/soil")
check 'bash completes commands' completions "$completed"
holds 'completion for zsh and fish is installed' grep -q doctor "$prefix/share/zsh/site-functions/_soil" "$prefix/share/fish/vendor_completions.d/soil.fish"
stand_ins "$work/no-rust" cargo rustc rustup
(
  . "$prefix/env"
  PATH=$work/no-rust:$PATH
  export PATH
  unset DUNE_BUILD_DIR
  cd "$work" && soil new trial && cd trial && dune build --root . 2>&1
) >"$work/trial.log" 2>&1 || cat "$work/trial.log"
holds 'the process of a new project' test -x "$work/trial/_build/default/main.exe"
holds 'the image of a new project' test -x "$work/trial/_build/soil/main.exe"
check 'Rust was called' no "$([ -e "$work/no-rust-was-called" ] && cat "$work/no-rust-was-called" || echo no)"
printf 'let () = print_endline ("hello " ^ Sys.argv.(1)); exit 200\n' >"$work/trial/main.ml"
(. "$prefix/env" && cd "$work/trial" && dune build --root .) >"$work/trial.log" 2>&1 || cat "$work/trial.log"
for form in default soil; do
  output=$("$prefix/bin/soil" run "$work/trial/_build/$form/main.exe" --timeout 600 -- 'a b' </dev/null 2>&1)
  check "a new project runs ($form)" 'hello a b 200' "$output $?"
done

# Flags without :standard must not bypass the link driver.
mkdir "$work/trial/own"
printf '(executable (name own) (ocamlopt_flags (-g)) (link_flags ()))\n' >"$work/trial/own/dune"
printf 'let () = print_endline "own flags"\n' >"$work/trial/own/own.ml"
(. "$prefix/env" && cd "$work/trial" && dune build --root .) >"$work/own.log" 2>&1 || cat "$work/own.log"
for form in default soil; do
  holds "a program with flags of its own is built ($form)" test -x "$work/trial/_build/$form/own/own.exe"
done
holds 'and its image is one' sh -c '! readelf -l "$1" | grep -q INTERP' sh "$work/trial/_build/soil/own/own.exe"
output=$("$prefix/bin/soil" run "$work/trial/_build/soil/own/own.exe" --machine microvm --timeout 600 </dev/null 2>&1)
check 'an image with flags of its own runs' 'own flags 0' "$output $?"

# Without dune, by findlib's toolchain.
(
  . "$prefix/env"
  cd "$work/trial" && ocamlfind -toolchain soil ocamlopt -package soil -linkpkg main.ml -o by-findlib.exe 2>&1
) >"$work/findlib.log" 2>&1 || cat "$work/findlib.log"
output=$("$prefix/bin/soil" run "$work/trial/by-findlib.exe" --timeout 600 -- 'a b' </dev/null 2>&1)
check 'an image by ocamlfind -toolchain soil' 'hello a b 200' "$output $?"

# Bytecode loads the Rust half from its installed place.
printf '#use "topfind";;\n#require "soil";;\nprint_endline (Soil.run (fun () -> Soil.version));;\n' >"$work/script.ml"
check 'the library in a toplevel' 0.1.0 "$(. "$prefix/env" && ocaml -noinit "$work/script.ml" 2>&1)"
mkdir "$work/trial/bytecode"
printf '(executable (name b) (modes byte exe) (libraries soil))\n' >"$work/trial/bytecode/dune"
printf 'let () = print_endline (Soil.run (fun () -> "b"))\n' >"$work/trial/bytecode/b.ml"
(. "$prefix/env" && cd "$work/trial" && dune build --root .) >"$work/bytecode.log" 2>&1 || cat "$work/bytecode.log"
check 'a bytecode program' b "$(. "$prefix/env" && "$work/trial/_build/default/bytecode/b.bc" 2>&1)"
holds 'the image beside a bytecode program' test -x "$work/trial/_build/soil/bytecode/b.exe"

# An existing workspace keeps its files and its builds.
mkdir "$work/workspace"
printf '(lang dune 3.17)\n; mine\n(profile release)\n' >"$work/workspace/dune-workspace"
printf '(lang dune 3.17)\n' >"$work/workspace/dune-project"
printf '(executables (names a b) (modules a b) (modes exe byte) (libraries threads.posix))\n(test (name t) (modules t))\n(executable (name p) (modules p) (libraries sexplib0) (preprocess (pps ppx_sexp_conv)))\n' >"$work/workspace/dune"
printf 'int only_shared(void) { return 1; }\n' >"$work/only_shared.c"
gcc -shared -fPIC -o "$work/libonly_shared.so" "$work/only_shared.c"
printf '(executable (name s) (modules s) (link_flags (:standard -cclib -L%s -cclib -lonly_shared)))\n' "$work" >>"$work/workspace/dune"
printf 'let () = print_endline "s"\n' >"$work/workspace/s.ml"
printf 'open Sexplib0.Sexp_conv\ntype t = int list [@@deriving sexp]\nlet () = print_endline (Sexplib0.Sexp.to_string (sexp_of_t [1; 2]))\nlet _ = t_of_sexp\n' >"$work/workspace/p.ml"
printf 'let () = Thread.join (Thread.create print_endline "a")\n' >"$work/workspace/a.ml"
printf 'let () = print_endline "b"\n' >"$work/workspace/b.ml"
printf 'let () = assert (Sys.file_exists "/proc/version")\n' >"$work/workspace/t.ml"
(
  . "$prefix/env"
  cd "$work/workspace" && soil init && soil init && dune build --root . 2>&1 && dune runtest --root . 2>&1
) >"$work/workspace.log" 2>&1
check 'soil init in an old workspace' 0 "$?"
[ "$failed" = 0 ] || cat "$work/workspace.log"
check 'soil init keeps what is there' '; mine' "$(sed -n 2p "$work/workspace/dune-workspace")"
check 'soil init again changes nothing' 1 "$(grep -c "name soil" "$work/workspace/dune-workspace")"
check 'an old bytecode program' b "$(cd "$work/workspace" && ./_build/default/b.bc)"
for form in default soil; do
  check "an old program with a ppx ($form)" '(1 2)' "$("$prefix/bin/soil" run "$work/workspace/_build/$form/p.exe" --timeout 600 </dev/null 2>&1)"
done
output=$("$work/workspace/_build/soil/s.exe" 2>&1)
check 'a program that can not be linked spares the others, and says why' '126 yes' "$? $(case $output in *'has no image form: library only_shared'*) echo yes ;; esac)"
check 'an old program with threads' a "$("$work/workspace/_build/default/a.exe")"

# Where Soil isn't installed the image's build stops, and leaves no program of another kind.
(cd "$work/trial" && rm -rf _build && env -u OCAMLPATH PATH="$work/no-rust:/usr/bin:/bin" dune build --root . ./main.exe _build/soil/main.exe) >"$work/without.log" 2>&1
check 'a build without Soil fails' yes "$([ $? != 0 ] && echo yes)"
holds 'a build without Soil names what is missing' grep -q 'soil-cc' "$work/without.log"
holds 'a build without Soil leaves no program' test ! -e "$work/trial/_build/soil/main.exe"

holds 'make uninstall' "$repository/tools/setup/install.sh" uninstall "$prefix"
check 'make uninstall leaves nothing' '' "$(find "$prefix" 2>/dev/null)"

counts
