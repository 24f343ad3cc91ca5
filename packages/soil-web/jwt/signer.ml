module Rsa = Mirage_crypto_pk.Rsa
module P256 = Mirage_crypto_ec.P256.Dsa
module Ed25519 = Mirage_crypto_ec.Ed25519

type secret = Secret of string | Rsa of Rsa.priv | P256 of P256.priv | Ed25519 of Ed25519.priv
type t = { key : Key.t; secret : secret }

let hs256 ?id secret = { key = Key.hs256 ?id secret; secret = Secret secret }
let rs256 ?id key = { key = Key.rs256 ?id (Rsa.pub_of_priv key); secret = Rsa key }
let es256 ?id key = { key = Key.es256 ?id (P256.pub_of_priv key); secret = P256 key }
let eddsa ?id key = { key = Key.eddsa ?id (Ed25519.pub_of_priv key); secret = Ed25519 key }
let key t = t.key
let random () = Mirage_crypto_rng.create (module Soil_mirage_crypto_rng.Generator)

let sign t s =
  match t.secret with
  | Secret key -> Soil.Sha256.hmac ~key s
  | Rsa key ->
      let digest = `Digest (Soil.Sha256.digest s) in
      Rsa.PKCS1.sign ~mask:(`Yes_with (random ())) ~hash:`SHA256 ~key digest
  | P256 key ->
      let r, s = P256.sign ~key (Soil.Sha256.digest s) in
      r ^ s
  | Ed25519 key -> Ed25519.sign ~key s
