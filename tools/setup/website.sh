#!/bin/sh
# `make run`: the website example, booted, its files on a FAT disk made here. PORT is the host's
# port (8080). CHECK=1: both forms in turn; fetches every file and compares, then stops the program
# (tests/cases/website.py has the other tests of the example).
set -eu
cd "$(dirname "$0")/../.."

program=examples/website/main.exe
site=examples/website/site
work=target/website
port=${PORT:-8080}
soil=_build/default/tools/soil
disk=$work/site.img

fail() { printf 'make run: %s\n' "$*" >&2; exit 1; }

make_disk() {
  mkdir -p "$work"
  rm -f "$disk"
  truncate -s 16M "$disk"
  PATH=$PATH:/usr/sbin:/sbin mkfs.fat -n SITE "$disk" >/dev/null
  # shellcheck disable=SC2046 # a list of files
  mcopy -s -Q -i "$disk" "$site"/* ::/
}

# in_use PORT: whether a socket listens there (state 0A in the kernel's tables).
in_use() {
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port="$(printf ':%04X' "$1")" '
    $4 == "0A" && substr($2, length($2) - 4) == port { found = 1 }
    END { exit !found }'
}

[ -x "$soil" ] || fail "the soil command is not built: run  make build"
make_disk
if [ -z "${CHECK:-}" ]; then
  ! in_use "$port" || fail "port $port is in use: make run PORT=$((port + 1))"
  echo "The website is at  http://127.0.0.1:$port/  (Ctrl-C ends it)"
  # However make ends, the machine ends with it and releases the port.
  exec setpriv --pdeathsig TERM "$soil" run "_build/soil/$program" --mem 32M --disk "www=$disk,ro" --forward "$port:80"
fi

. tools/setup/checks.sh
fetch() { curl -sS --max-time 20 "$@"; }

# page FILE URL
page() {
  fetch -f -o "$work/got" "$2" || true
  check "GET $2" same "$(cmp -s "$1" "$work/got" && echo same)"
  rm -f "$work/got"
}

check_form() {
  form=$1
  printf '== website, %s\n' "$form"
  while in_use "$port"; do port=$((port + 1)); done
  "$soil" run "_build/$form/$program" --mem 32M --disk "www=$disk,ro" --forward "$port:80" --timeout 300 </dev/null >"$work/console" 2>&1 &
  child=$!
  trap 'kill "$child" 2>/dev/null || true' EXIT
  base=http://127.0.0.1:$port
  # QEMU and passt listen before the program does: wait for an answer, not a connection.
  # The program's own limit ends the wait: its first start probes for KVM, half a minute at most.
  until fetch -o /dev/null --max-time 2 "$base/" 2>/dev/null; do
    if ! kill -0 "$child" 2>/dev/null; then
      cat "$work/console"
      check "start of $form" answers silence
      return
    fi
    sleep 0.2
  done
  for file in $(find "$site" -type f | sort); do page "$file" "$base/${file#"$site"/}"; done
  page "$site/index.html" "$base/"
  page "$site/docs/index.html" "$base/docs/"
  kill -TERM "$child"
  status=0
  wait "$child" || status=$?
  trap - EXIT
  check "status after SIGTERM" 143 "$status"
}

check_form soil
check_form default
counts || fail "the website's check failed; the lines above say where, $work/console what its program printed"
