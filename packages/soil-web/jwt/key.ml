module Rsa = Mirage_crypto_pk.Rsa
module P256 = Mirage_crypto_ec.P256.Dsa
module Ed25519 = Mirage_crypto_ec.Ed25519
module Sha256 = Soil.Sha256

type algorithm = HS256 | RS256 | ES256 | EdDSA
type material = Secret of string | Rsa of Rsa.pub | P256 of P256.pub | Ed25519 of Ed25519.pub
type t = { id : string option; material : material }

let names = [ (HS256, "HS256"); (RS256, "RS256"); (ES256, "ES256"); (EdDSA, "EdDSA") ]
let algorithm_to_string algorithm = List.assoc algorithm names

(* RFC 9864 §2.2 renames EdDSA with Ed25519, the only curve here. *)
let algorithm_of_string s =
  let is_name (_, name) = name = if s = "Ed25519" then "EdDSA" else s in
  Option.map fst (List.find_opt is_name names)

let min_secret = 32
let max_secret = 1024
let is_pem s = String.starts_with ~prefix:"-----BEGIN " (String.trim s)

let hs256 ?id secret =
  let length = String.length secret in
  if length < min_secret || length > max_secret then
    invalid_arg "Soil_jwt.Key.hs256: the secret has less than 32 or more than 1024 bytes";
  if is_pem secret then
    invalid_arg "Soil_jwt.Key.hs256: the secret is PEM: use rs256, es256 or eddsa for key pairs";
  { id; material = Secret secret }

let min_rsa_bits = 2048
let max_rsa_bits = 8192
let max_exponent_bits = 32

let rs256 ?id (key : Rsa.pub) =
  let bits = Rsa.pub_bits key in
  if bits < min_rsa_bits || bits > max_rsa_bits then
    invalid_arg "Soil_jwt.Key.rs256: the key has less than 2048 or more than 8192 bits";
  if Z.is_even key.e || Z.numbits key.e > max_exponent_bits then
    invalid_arg "Soil_jwt.Key.rs256: the exponent is even or has more than 32 bits";
  { id; material = Rsa key }

let es256 ?id key = { id; material = P256 key }
let eddsa ?id key = { id; material = Ed25519 key }
let id t = t.id
let material t = t.material

let algorithm t =
  match t.material with Secret _ -> HS256 | Rsa _ -> RS256 | P256 _ -> ES256 | Ed25519 _ -> EdDSA

let is_sha256 = function `SHA256 -> true | _ -> false

(* The library raises where the signature is the number 0, 1, or not below the modulus. *)
let verify_rsa key ~signature s =
  match Rsa.PKCS1.verify ~hashp:is_sha256 ~key ~signature (`Digest (Sha256.digest s)) with
  | verified -> verified
  | exception (Invalid_argument _ | Rsa.Insufficient_key) -> false

let verify t ~signature s =
  let length = String.length signature in
  match t.material with
  | Secret key -> Sha256.equal (Sha256.hmac ~key s) signature
  | Rsa key -> length = (Rsa.pub_bits key + 7) / 8 && verify_rsa key ~signature s
  | P256 key ->
      (* RFC 7518 §3.4: R and S, of 32 bytes each. *)
      length = 64
      && P256.verify ~key (String.sub signature 0 32, String.sub signature 32 32) (Sha256.digest s)
  | Ed25519 key -> length = 64 && Ed25519.verify ~key signature ~msg:s
