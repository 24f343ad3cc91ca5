#!/bin/sh
# Makes the certificates of the world `renewal` again, with openssl. Certificate N is valid for 40
# s, from 10 * N - 15 s after the wall clock's beginning in a simulation. Their serial number is N + 1.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Signatures of Ed25519 have a constant size.
key() { openssl genpkey -algorithm ED25519 -out "$1"; }
touch "$work/index"
cat > "$work/ca.cnf" <<END
[ca]
default_ca = ca_default
[ca_default]
database = $work/index
serial = $work/serial
new_certs_dir = $work
certificate = root.pem
private_key = $work/root.key
default_md = default
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
END
# sign NAME START END ARGUMENTS-OF-CA...
sign() {
  name=$1 start=$2 end=$3
  shift 3
  openssl ca -config "$work/ca.cnf" -batch -notext -in "$work/$name.csr" -out "$name.pem" \
    -startdate "$start" -enddate "$end" "$@" 2> "$work/log" || { cat "$work/log"; exit 1; }
}
time() { date -u -d "2025-01-01T00:00:00Z $1 seconds" +%Y%m%d%H%M%SZ; }
echo 7f > "$work/serial"
key "$work/root.key"
openssl req -new -key "$work/root.key" -subj '/CN=Root' -out "$work/root.csr" \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
sign root 20200101000000Z 21200101000000Z -selfsign -keyfile "$work/root.key"
echo 01 > "$work/serial"
for n in 0 1 2 3 4 5 6 7 8 9; do
  key "$n.key"
  openssl req -new -key "$n.key" -subj "/CN=number $n" -out "$work/$n.csr" \
    -addext subjectAltName=DNS:server.test -addext extendedKeyUsage=serverAuth
  sign "$n" "$(time "+$((10 * n - 15))")" "$(time "+$((10 * n + 25))")"
done
