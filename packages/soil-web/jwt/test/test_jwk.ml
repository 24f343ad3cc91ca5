open Check
open Soil_jwt
open Tokens

let refused what expected text =
  match Jwk.key text with
  | Ok _ -> Alcotest.fail (what ^ ": accepted")
  | Error reason -> string what expected reason

let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
let okp more = Printf.sprintf {|{"kty":"OKP","crv":"Ed25519","x":"%s"%s}|} x more
let rsa n e = Printf.sprintf {|{"kty":"RSA","n":"%s","e":"%s"}|} (url n) (url e)
let odd n = String.make (n - 1) '\255' ^ "\251"

let keys () =
  let usable more = bool more true (Result.is_ok (Jwk.key (okp more))) in
  List.iter usable [ ""; {|,"use":"sig"|}; {|,"key_ops":["verify"]|}; {|,"alg":"EdDSA"|}; {|,"alg":"Ed25519"|} ];
  refused "use" "use or key_ops isn't for verify" (okp {|,"use":"enc"|});
  refused "key_ops" "use or key_ops isn't for verify" (okp {|,"key_ops":["sign"]|});
  refused "alg" {|alg "ES256" isn't supported for this key|} (okp {|,"alg":"ES256"|});
  refused "kid" "kid isn't a string" (okp {|,"kid":1|});
  refused "curve" "crv isn't Ed25519" {|{"kty":"OKP","crv":"Ed448","x":"AA"}|};
  refused "X25519" "crv isn't Ed25519" {|{"kty":"OKP","crv":"X25519","x":"AA"}|};
  refused "secp256k1" "crv isn't P-256" {|{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}|};
  refused "a secret" "a secret isn't a public key" (Printf.sprintf {|{"kty":"oct","k":"%s"}|} x);
  refused "kind" {|kty "AKP" isn't supported|} {|{"kty":"AKP"}|};
  bool "not on the curve" true (Result.is_error @@ Jwk.key @@ Printf.sprintf {|{"kty":"EC","crv":"P-256","x":"%s","y":"%s"}|} x x);
  refused "a short coordinate" "x hasn't 32 bytes" {|{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}|};
  let padded x = Printf.sprintf {|{"kty":"OKP","crv":"Ed25519","x":"%s"}|} x in
  bool "padding" true (Jwk.key (padded (x ^ "=")) = Jwk.key (okp ""));
  refused "too much padding" "x isn't base64url" (padded (x ^ "=="));
  refused "padding alone" "x isn't base64url" (padded "====");
  refused "another length" "x hasn't 32 bytes" (padded "AA==");
  refused "base64" "x is base64, not base64url" (padded "//++");
  refused "nothing" "no kty" "{}";
  refused "a list" "it isn't an object" "[]";
  let bad_size = "Soil_jwt.Key.rs256: the key has less than 2048 or more than 8192 bits" in
  refused "1024 bits" bad_size (rsa (odd 128) "\001\000\001");
  refused "a megabit" "n has more than 1024 bytes" (rsa (odd 20_000) "\001\000\001");
  refused "a large exponent" "Soil_jwt.Key.rs256: the exponent is even or has more than 32 bits" (rsa (odd 256) "\001\000\000\000\001");
  refused "exponent 1" "invalid exponent" (rsa (odd 256) "\001");
  bool "an even modulus" true (Result.is_error (Jwk.key (rsa (String.make 256 '\254') "\003")))
[@@ocamlformat "disable"]

let sets () =
  let set l = Printf.sprintf {|{"keys":[%s]}|} (String.concat "," l) in
  let count what expected r = int what expected (List.length (get r)) in
  let error what expected r =
    string what expected (match r with Ok _ -> "accepted" | Error reason -> reason)
  in
  let secret = Printf.sprintf {|{"kty":"oct","k":"%s"}|} x in
  count "what is known" 2 (Jwk.set (set [ okp ""; {|{"kty":"new"}|}; "7"; secret; Vectors.a3_key ]));
  let reasons = ref [] in
  let left_out id reason = reasons := (Option.value id ~default:"-" ^ ": " ^ reason) :: !reasons in
  let long = Printf.sprintf {|{"kty":"%s"}|} (String.make 1000 'x') in
  count "with reasons" 1 (Jwk.set ~left_out (set [ {|{"kty":"RSA","kid":"a","n":"+/+/"}|}; "null"; secret; okp ""; long ]));
  strings "reasons"
    [ "a: n is base64, not base64url"; "-: it isn't an object with members"; "-: a secret isn't a public key" ]
    (List.filteri (fun i _ -> i < 3) (List.rev !reasons));
  int "a long reason" 206 (String.length (List.hd !reasons));
  count "none" 0 (Jwk.set (set []));
  count "100" 100 (Jwk.set (set (List.init 100 (fun _ -> okp ""))));
  error "101" "more keys than max_keys" (Jwk.set (set (List.init 101 (fun _ -> okp ""))));
  error "bytes" "more bytes than max_bytes" (Jwk.set ~max_bytes:100 (set [ okp ""; okp "" ]));
  let padded size = set [] ^ String.make (size - String.length (set [])) ' ' in
  count "256 KiB" 0 (Jwk.set (padded 262_144));
  error "a byte more" "more bytes than max_bytes" (Jwk.set (padded 262_145));
  error "no list" "no list of keys" (Jwk.set {|{"keys":{}}|});
  error "a member twice" {|the name "kty" occurs twice in an object|} (Jwk.set {|{"keys":[{"kty":"a","kty":"b"}]}|});
  let published = List.map (fun s -> Signer.key s) signers in
  let again = get (Jwk.set (Jwk.set_to_string published)) in
  strings "published without the secret" [ "RS256"; "ES256"; "EdDSA" ]
    (List.map (fun k -> Key.algorithm_to_string (Key.algorithm k)) again);
  string "the same keys" (Jwk.set_to_string published) (Jwk.set_to_string again)
[@@ocamlformat "disable"]

let signers () =
  let refused what text = bool what true (Result.is_error (Jwk.signer text)) in
  let pair d = Printf.sprintf {|{"kty":"OKP","crv":"Ed25519","x":"%s","d":"%s"}|} x d in
  refused "another's public key" (pair x);
  refused "no private part" (okp "");
  refused "a short secret" {|{"kty":"oct","k":"AAAA"}|};
  refused "for encryption" (Printf.sprintf {|{"kty":"oct","use":"enc","k":"%s"}|} x);
  refused "another algorithm" (Printf.sprintf {|{"kty":"oct","alg":"HS512","k":"%s"}|} x);
  refused "primes of another key" {|{"kty":"RSA","n":"AQ","e":"Aw","p":"Aw","q":"BQ"}|}

let tests = [ test "keys" keys; test "sets" sets; test "private keys" signers ]
