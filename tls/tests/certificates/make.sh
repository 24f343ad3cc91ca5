#!/bin/sh
# Makes the certificates of the tests anew, with openssl: a root, what it signed, and its list of
# revoked certificates. They are valid for a hundred years; the tests choose the time.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }
key root
openssl req -x509 -new -key root.key -subj '/O=Soil tests/CN=Root' -days 36500 -out root.pem
touch "$work/index" && echo 01 > "$work/serial" && echo 01 > "$work/crlnumber"
cat > "$work/ca.cnf" <<END
[ca]
default_ca = ca_default
[ca_default]
database = $work/index
serial = $work/serial
crlnumber = $work/crlnumber
new_certs_dir = $work
certificate = root.pem
private_key = root.key
default_md = sha256
policy = any
copy_extensions = copy
default_days = 36500
default_crl_days = 36500
[any]
commonName = supplied
END
# leaf NAME SUBJECT-ALTERNATIVE-NAMES USAGE
leaf() {
  openssl req -new -key "$1.key" -subj "/CN=$1" -addext "subjectAltName=$2" \
    -addext "extendedKeyUsage=$3" -out "$work/$1.csr"
  openssl ca -config "$work/ca.cnf" -batch -notext -in "$work/$1.csr" -out "$1.pem"
}
key server && leaf server 'DNS:server.test,DNS:*.wild.test,IP:10.0.0.9' serverAuth
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out other.key
leaf other DNS:other.test serverAuth
key client && leaf client DNS:client.test clientAuth
key revoked && leaf revoked DNS:server.test serverAuth
openssl ca -config "$work/ca.cnf" -revoke revoked.pem
openssl ca -config "$work/ca.cnf" -gencrl -out revoked.crl
key own
openssl req -x509 -new -key own.key -subj /CN=server.test -addext subjectAltName=DNS:server.test \
  -addext basicConstraints=critical,CA:FALSE -days 36500 -out own.pem
