(* Keys and helpers of the tests. *)

open Soil_jwt

let url s = Base64.encode_string ~pad:false ~alphabet:Base64.uri_safe_alphabet s
let get = function Ok v -> v | Error reason -> Alcotest.fail reason
let signer text = get (Jwk.signer text)
let secret = String.init 32 (fun i -> Char.chr (i + 65))

(* One of each algorithm, of the RFCs' examples. *)
let signers =
  [ Signer.hs256 secret; signer Vectors.a2_key; signer Vectors.a3_key; signer Vectors.ed25519_key ]

let name signer = Key.algorithm_to_string (Key.algorithm (Signer.key signer))
let result = function Ok _ -> "accepted" | Error p -> Problem.to_string p
let says what expected r = Alcotest.(check string) what expected (result r)
let refuses what problem r = says what (Problem.to_string problem) r
let accepts what r = says what "accepted" r

(* A token with this header and payload, as they are, signed by a secret. *)
let raw ?(key = secret) header payload =
  let signed = url header ^ "." ^ url payload in
  signed ^ "." ^ url (Soil.Sha256.hmac ~key signed)

let any = policy ~require_expiry:false ()
let verify_jws keys token = Result.bind (Jws.of_string token) (Jws.verify keys)
