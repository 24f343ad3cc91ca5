(* The RFCs' own examples. *)

open Check
open Soil_jwt
open Tokens

let key text = Signer.key (signer text)
let payload = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"
let verified key token = verify_jws [ key ] token |> Result.map_error Problem.to_string |> get

let rfc7515 () =
  string "A.1" payload (verified (key Vectors.a1_key) Vectors.a1_token);
  string "A.2" payload (verified (key Vectors.a2_key) Vectors.a2_token);
  string "A.3" payload (verified (key Vectors.a3_key) Vectors.a3_token);
  refuses "A.4, ES512" Problem.Algorithm (verify_jws [ key Vectors.a3_key ] Vectors.a4_token);
  refuses "A.5, none" Problem.Algorithm (verify_jws [ key Vectors.a3_key ] Vectors.a5_token);
  string "A.2 is what RS256 signs" Vectors.a2_token (Jws.sign (signer Vectors.a2_key) payload)

let rfc8037 () =
  string "A.5" "Example of Ed25519 signing"
    (verified (key Vectors.ed25519_key) Vectors.ed25519_token);
  string "A.4" Vectors.ed25519_token
    (Jws.sign (signer Vectors.ed25519_key) "Example of Ed25519 signing");
  accepts "A.2" (verify_jws [ get (Jwk.key Vectors.ed25519_public) ] Vectors.ed25519_token)

(* The same signature, with the algorithm's new name in the header. *)
let rfc9864 () =
  let signed = url {|{"alg":"Ed25519"}|} ^ "." ^ url payload in
  let token = signed ^ "." ^ url (Signer.sign (signer Vectors.ed25519_key) signed) in
  let public more = get (Jwk.key (Test_jwk.okp more)) in
  string "a key without alg" payload (verified (public "") token);
  string "with the new name" payload (verified (public {|,"alg":"Ed25519"|}) token);
  string "with the old one" payload (verified (public {|,"alg":"EdDSA"|}) token);
  accepts "an old token" (verify_jws [ public {|,"alg":"Ed25519"|} ] Vectors.ed25519_token);
  refuses "another key" Problem.Algorithm (verify_jws [ key Vectors.a3_key ] token)

let rfc7517 () =
  let keys = get (Jwk.set Vectors.rfc7517_public) in
  let about key = Option.get (Key.id key) ^ " " ^ Key.algorithm_to_string (Key.algorithm key) in
  strings "A.1, without the key for encryption" [ "2011-04-29 RS256" ] (List.map about keys)

let rfc7520 () =
  let rsa = key Vectors.cookbook_rsa_key and secret = key Vectors.cookbook_secret in
  let text = verified rsa Vectors.cookbook_rs256 in
  bool "4.1" true (String.starts_with ~prefix:"It\xe2\x80\x99s a dangerous business, Frodo" text);
  string "4.4" text (verified secret Vectors.cookbook_hs256);
  refuses "4.2, PS384" Problem.Algorithm (verify_jws [ rsa ] Vectors.cookbook_ps384);
  refuses "4.3, ES512" Problem.Algorithm (verify_jws [ rsa ] Vectors.cookbook_es512);
  bool "3.1, P-521" true (Result.is_error (Jwk.key Vectors.cookbook_ec521_key))

let tests =
  [
    test "the examples of RFC 7515" rfc7515;
    test "the examples of RFC 8037" rfc8037;
    test "the name of RFC 9864" rfc9864;
    test "the example of RFC 7517" rfc7517;
    test "the examples of RFC 7520" rfc7520;
  ]
