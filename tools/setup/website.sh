#!/bin/sh
# `make run`: the website example, booted, its files on a FAT disk made here. PORT is the host's
# port (8080). CHECK=1: both forms in turn; fetches every file and compares, tries HEAD, 404, 405
# and keep-alive, stops the program, looks at its disk.
set -eu
cd "$(dirname "$0")/../.."

program=examples/website/main.exe
site=examples/website/site
work=target/website
port=${PORT:-8080}
soil=_build/default/tools/soil
disk=$work/site.img

fail() {
  printf 'make run: %s\n' "$*" >&2
  exit 1
}

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

type_of() {
  case $1 in
  *.html) echo 'text/html; charset=utf-8' ;;
  *.css) echo 'text/css; charset=utf-8' ;;
  *.txt) echo 'text/plain; charset=utf-8' ;;
  *.png) echo image/png ;;
  *.svg) echo image/svg+xml ;;
  *) echo application/octet-stream ;;
  esac
}

page() {
  file=$1
  url=$2
  got=$(fetch -o "$work/got" -w '%{http_code} %{content_type}' "$url" || true)
  check "GET $url" "200 $(type_of "$file")" "$got"
  if cmp -s "$file" "$work/got"; then same=same; else same=different; fi
  check "content of $url" same "$same"
  size=$(wc -c <"$file")
  got=$(fetch -I "$url" | tr -d '\r' | awk 'tolower($1) == "content-length:" { print $2 }' || true)
  check "HEAD $url" "$size" "$got"
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
  check 'missing file' 404 "$(fetch -o /dev/null -w '%{http_code}' "$base/missing.html" || true)"
  check 'the way up' 4 "$(fetch --path-as-is -o /dev/null -w '%{http_code}' "$base/../main.ml" | cut -c1 || true)"
  check 'POST' 405 "$(fetch -o /dev/null -w '%{http_code}' -d x "$base/" || true)"
  check 'DELETE' '405 GET, HEAD' "$(fetch -X DELETE -i "$base/" | tr -d '\r' | awk 'NR == 1 { status = $2 } tolower($1) == "allow:" { $1 = ""; print status $0 }' || true)"
  check 'keep-alive' '1 0' "$(fetch -o /dev/null -o /dev/null -w '%{num_connects} ' "$base/" "$base/about.html" | sed 's/ $//' || true)"
  kill -TERM "$child"
  status=0
  wait "$child" || status=$?
  trap - EXIT
  check "status after SIGTERM" 143 "$status"
  cmp -s "$disk" "$work/before.img" && same=untouched || same=changed
  check "the read-only disk" untouched "$same"
}

cp "$disk" "$work/before.img"
check_form soil
check_form default
counts
