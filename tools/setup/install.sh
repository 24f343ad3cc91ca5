#!/bin/sh
# install.sh install|uninstall PREFIX [DESTDIR]: dune's installation of the packages, a file to
# source if findlib doesn't search PREFIX, and a list of all files, by which uninstall removes
# exactly these, even after `make clean`.
set -eu
cd "$(dirname "$0")/../.."
. tools/setup/packages.sh

action=$1
prefix=$2
destdir=${3:-}
fail() { printf 'install: %s\n' "$*" >&2; exit 1; }
case $prefix in
/*) prefix=${prefix%/} ;;
*) fail "PREFIX has to be an absolute path, not '$prefix'" ;;
esac
root=$destdir$prefix
manifest=$root/share/soil/manifest

uninstall() {
  # The list names files first, itself among them, then the folders created for them, innermost
  # first.
  list=$(cat "$manifest")
  printf '%s\n' "$list" | while IFS= read -r line; do
    path=$destdir${line#* }
    case $line in
    'file '*) rm -f -- "$path" ;;
    'folder '*) rmdir -- "$path" 2>/dev/null || true ;;
    esac
  done
}

case $action in
install)
  fresh=
  [ -d "$root" ] || fresh=yes
  { mkdir -p "$root" 2>/dev/null && [ -w "$root" ]; } || fail "no right to write to $root: run as root, or choose a PREFIX of your own (make install PREFIX=\$HOME/.local)"
  # A folder of findlib inside PREFIX, or one that the env file adds.
  libraries=$prefix/lib
  findlib=
  for folder in $(ocamlfind printconf path); do
    case $folder in "$prefix"/*) libraries=$folder findlib=yes && break ;; esac
  done
  # Writes only in this folder: beside it, in /tmp, others could plant links, which root would
  # follow.
  private=$(mktemp -d) || fail "no folder for the files: make room in ${TMPDIR:-/tmp}, or set TMPDIR"
  trap 'rm -rf "$private"' EXIT
  staging=$private/tree
  mkdir "$staging"
  dune build @install
  # shellcheck disable=SC2086
  dune install --display=quiet --context default --prefix "$prefix" --libdir "$libraries" --docdir "$prefix/share/doc" \
    --destdir "$staging" $opam_packages
  # Generated from the command's own definition: man pages, and shells' completions.
  soil=$staging$prefix/bin/soil
  "$soil" man "$staging$prefix/share/man"
  for place in bash:bash-completion/completions/soil zsh:zsh/site-functions/_soil fish:fish/vendor_completions.d/soil.fish; do
    file=$staging$prefix/share/${place#*:}
    mkdir -p "$(dirname "$file")"
    "$soil" completions "${place%%:*}" >"$file"
  done
  # For builds without dune: ocamlfind -toolchain soil ocamlopt -package soil -linkpkg main.ml -o
  # main.exe
  cat >"$staging$prefix/bin/soil-ocamlopt" <<END
#!/bin/sh
exec ocamlopt -cc $prefix/bin/soil-cc -ccopt $libraries/soil/libsoil_image.a "\$@"
END
  chmod 755 "$staging$prefix/bin/soil-ocamlopt"
  toolchain="ocamlopt(soil)=\"$prefix/bin/soil-ocamlopt\""
  mkdir -p "$staging$prefix/share/soil"
  if [ -n "$findlib" ]; then
    configuration=$(ocamlfind printconf conf).d
    mkdir -p "$staging$configuration"
    echo "$toolchain" >"$staging$configuration/soil.conf"
  else
    {
      echo "destdir=\"$(ocamlfind printconf destdir)\""
      echo "path=\"$(ocamlfind printconf path | paste -sd:)\""
      # dune 3.24 takes a compiler that only a toolchain sets for an empty name, and fails.
      echo 'ocamlopt="ocamlopt"'
      echo "$toolchain"
    } >"$staging$prefix/share/soil/findlib.conf"
    cat >"$staging$prefix/env" <<END
# Source this ('. $prefix/env') to build and run programs with Soil.
export PATH="$prefix/bin:\$PATH"
export OCAMLPATH="$libraries\${OCAMLPATH:+:\$OCAMLPATH}"
export CAML_LD_LIBRARY_PATH="$libraries/stublibs\${CAML_LD_LIBRARY_PATH:+:\$CAML_LD_LIBRARY_PATH}"
export OCAMLFIND_CONF="$prefix/share/soil/findlib.conf"
# The compiler for arm64 of this user ('soil doctor --arch aarch64 --fix'), which a plain 'dune build'
# of the context soil-aarch64 finds by this file only.
soil_cross="\${XDG_CACHE_HOME:-\$HOME/.cache}/soil/aarch64/root/findlib.conf"
if [ -f "\$soil_cross" ]; then export OCAMLFIND_CONF="\$soil_cross"; fi
unset soil_cross
END
  fi
  if [ -f "$manifest" ]; then uninstall; fi
  {
    (cd "$staging" && find . ! -type d | sed 's/^\.//; s/^/file /')
    echo "file $prefix/share/soil/manifest"
    (cd "$staging" && find . -depth -mindepth 1 -type d | sed 's/^\.//') | while IFS= read -r folder; do
      [ -d "$destdir$folder" ] || echo "folder $folder"
    done
    [ -z "$fresh" ] || echo "folder $prefix"
  } >"$private/list"
  mv "$private/list" "$staging$prefix/share/soil/manifest"
  # tar keeps modes, creates folders, and doesn't follow existing links.
  (cd "$staging" && find . ! -type d -print0 | tar -c --null --no-recursion -T - -f -) | (mkdir -p "${destdir:-/}" && cd "${destdir:-/}" && tar -x --no-same-owner -f -)
  echo "installed in $root"
  [ -n "$findlib" ] || echo "to use it:  . $prefix/env"
  ;;
uninstall)
  [ -f "$manifest" ] || fail "nothing of Soil's is in $root (no $manifest)"
  [ -w "$root" ] || fail "no right to write to $root: run as root"
  uninstall
  echo "removed from $root"
  ;;
*) fail "usage: install.sh install|uninstall PREFIX [DESTDIR]" ;;
esac
