#!/bin/sh
# Makes the certificates of the tests again, with openssl: a root, what it signed, and its list of
# revoked certificates. They are valid from 2020 to 2120; the tests choose the time.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }
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
default_startdate = 20200101000000Z
default_enddate = 21200101000000Z
default_crl_days = 34000
[any]
organizationName = optional
commonName = supplied
END
# own NAME SUBJECT EXTENSION...: a certificate that signs itself
own() {
  key "$1"
  name=$1 subject=$2
  shift 2
  openssl req -new -key "$name.key" -subj "$subject" "$@" -out "$work/$name.csr"
  openssl ca -config "$work/ca.cnf" -batch -notext -selfsign -keyfile "$name.key" \
    -in "$work/$name.csr" -out "$name.pem"
}
own root '/O=Soil tests/CN=Root' -addext basicConstraints=critical,CA:TRUE \
  -addext keyUsage=critical,keyCertSign,cRLSign
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
own own /CN=server.test -addext subjectAltName=DNS:server.test \
  -addext basicConstraints=critical,CA:FALSE
own challenge /CN=challenge.test -addext subjectAltName=DNS:challenge.test \
  -addext "1.3.6.1.5.5.7.1.31=critical,DER:0420$(printf '%064d' 7)"
own critical /CN=critical.test -addext 1.2.3.4=critical,DER:0500
# Keys that aren't supported, as authorities below the root with a chain each, and Ed448.
openssl genpkey -quiet -algorithm Ed448 -out ed448.key
openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out p521.key
openssl genpkey -quiet -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out pss.key
for kind in p521 pss; do
  openssl req -new -key $kind.key -subj "/CN=$kind authority" \
    -addext basicConstraints=critical,CA:TRUE -out "$work/$kind.csr"
  openssl ca -config "$work/ca.cnf" -batch -notext -in "$work/$kind.csr" -out "$work/$kind.pem"
  openssl req -new -key server.key -subj "/CN=below $kind" -addext subjectAltName=DNS:server.test \
    -out "$work/leaf.csr"
  openssl ca -config "$work/ca.cnf" -batch -notext -cert "$work/$kind.pem" -keyfile $kind.key \
    -in "$work/leaf.csr" -out "$work/leaf.pem"
  cat "$work/leaf.pem" "$work/$kind.pem" > $kind.pem
done
