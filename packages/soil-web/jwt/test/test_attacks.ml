(* Tokens that others made. *)

open Check
open Soil_jwt
open Tokens

let hmac = [ Key.hs256 secret ]
let header = {|{"alg":"HS256"}|}
let hs256 payload = raw header payload

let none () =
  List.iter
    (fun alg ->
      let token = url (Printf.sprintf {|{"alg":%s}|} alg) ^ "." ^ url "{}" ^ "." in
      refuses alg Problem.Algorithm (verify any hmac token))
    [ {|"none"|}; {|"None"|}; {|"NONE"|}; {|""|}; {|"hs256"|}; {|"HS512"|}; {|"PS256"|} ];
  says "no alg" "token: malformed: header: no alg" (verify any hmac (raw "{}" "{}"));
  says "a number" "token: malformed: header: alg isn't a string"
    (verify any hmac (raw {|{"alg":1}|} "{}"))

let confusion () =
  (* The public key as a secret, in the forms that it is known in. *)
  let rsa = Signer.key (signer Vectors.a2_key) in
  List.iter
    (fun key ->
      let key = if String.length key > 64 then Soil.Sha256.digest key else key in
      refuses "HS256 by a public key" Problem.Algorithm (verify any [ rsa ] (raw ~key header "{}")))
    [ Vectors.a2_key; Jwk.set_to_string [ rsa ] ];
  is_invalid "PEM as a secret" (fun () ->
      Key.hs256 "\n-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A");
  is_invalid "a short secret" (fun () -> Key.hs256 (String.make 31 'x'));
  (* Each algorithm against the keys of the others. *)
  List.iter
    (fun s ->
      let token = sign ~lifetime:60. s [] in
      List.iter
        (fun other ->
          let r = verify any [ Signer.key other ] token in
          if s == other then accepts (name s) r else refuses (name s) Problem.Algorithm r)
        signers)
    signers

let embedded () =
  let attacker = signer Vectors.ed25519_key in
  let jwk = Vectors.ed25519_public in
  let header = Printf.sprintf {|{"alg":"EdDSA","jwk":%s,"kid":"../../dev/null"}|} jwk in
  let signed = url header ^ "." ^ url "{}" in
  let token = signed ^ "." ^ url (Signer.sign attacker signed) in
  let other, _ =
    Mirage_crypto_ec.Ed25519.(
      generate ~g:(Mirage_crypto_rng.create (module Soil_mirage_crypto_rng.Generator)) ())
  in
  let key = Signer.key (Signer.eddsa other) in
  refuses "its own key" Problem.Signature (verify any [ key ] token)

let malformed what token =
  match verify any hmac token with
  | Error (Problem.Malformed _) -> ()
  | r -> Alcotest.failf "%s: %s" what (result r)

let shapes () =
  let good = hs256 "{}" in
  accepts "good" (verify any hmac good);
  let parts = String.split_on_char '.' good in
  let h = List.nth parts 0 and p = List.nth parts 1 and s = List.nth parts 2 in
  List.iter
    (fun (what, token) -> malformed what token)
    [
      ("empty", ""); ("dots", ".."); ("one part", h); ("two parts", h ^ "." ^ p);
      ("four parts", good ^ "."); ("JWE", good ^ ".x.y"); ("many", String.make 10_000 '.');
      ("padding", good ^ "="); ("a space", " " ^ good); ("a line", good ^ "\n");
      ("not canonical", h ^ "." ^ p ^ "." ^ String.sub s 0 42 ^ "9");
      ("+ and /", h ^ "." ^ p ^ "." ^ String.make 43 '+');
      ("JSON form", {|{"payload":"e30","signatures":[]}|});
      ("a list", raw "[]" "{}"); ("a string", raw {|"alg"|} "{}"); ("cut", raw {|{"alg":"HS256"|} "{}");
      ("a comment", raw {|{"alg":"HS256"/**/}|} "{}"); ("UTF-8", raw "{\"alg\":\"HS256\",\"a\":\"\xff\"}" "{}");
      ("kid", raw {|{"alg":"HS256","kid":1}|} "{}"); ("typ", raw {|{"alg":"HS256","typ":[]}|} "{}");
      ("alg twice", raw {|{"alg":"none","alg":"HS256"}|} "{}");
      ("alg twice, escaped", raw {|{"alg":"HS256","\u0061lg":"none"}|} "{}");
      ("twice inside", raw {|{"alg":"HS256","x":[{"a":1,"a":2}]}|} "{}");
      ("a claim twice", hs256 {|{"sub":"a","sub":"b"}|}); ("claims are text", hs256 "text");
      ("claims are a list", hs256 "[]"); ("nested", hs256 good);
      ("NaN", hs256 {|{"exp":NaN}|}); ("exp is text", hs256 {|{"exp":"9999999999"}|});
      ("exp is huge", hs256 {|{"exp":1e999}|}); ("exp beyond float", hs256 ({|{"exp":|} ^ String.make 400 '9' ^ "}"));
      ("nbf", hs256 {|{"nbf":true}|}); ("iat", hs256 {|{"iat":{}}|}); ("aud", hs256 {|{"aud":["a",1]}|});
      ("iss", hs256 {|{"iss":["a"]}|}); ("sub", hs256 {|{"sub":1}|});
    ];
  for n = 0 to String.length good - 1 do
    match verify any hmac (String.sub good 0 n) with
    | Ok _ -> Alcotest.failf "cut after %d bytes" n
    | Error _ -> ()
  done
[@@ocamlformat "disable"]

let critical () =
  List.iter
    (fun crit -> refuses crit Problem.Critical (verify any hmac (raw ({|{"alg":"HS256",|} ^ crit ^ "}") "{}")))
    [ {|"crit":["exp"],"exp":1|}; {|"crit":["b64"],"b64":false|}; {|"crit":[]|}; {|"crit":null|} ]
[@@ocamlformat "disable"]

let bounds () =
  let padded n = raw {|{"alg":"HS256"}|} (Printf.sprintf {|{"x":"%s"}|} (String.make n 'x')) in
  accepts "12 KB" (verify any hmac (padded 12_000));
  refuses "16 KB of payload" Problem.Too_large (verify any hmac (padded 16_000));
  refuses "64 MB, unread" Problem.Too_large (verify any hmac (String.make 67_108_864 'A'));
  accepts "by the policy" (verify (policy ~require_expiry:false ~max_bytes:65_536 ()) hmac (padded 16_000));
  let deep n = String.make n '[' ^ String.make n ']' in
  accepts "15 deep" (verify any hmac (hs256 (Printf.sprintf {|{"x":%s}|} (deep 15))));
  malformed "17 deep" (hs256 (Printf.sprintf {|{"x":%s}|} (deep 16)));
  malformed "a deep header" (raw (Printf.sprintf {|{"alg":"HS256","x":%s}|} (deep 4000)) "{}");
  malformed "many values" (hs256 (Printf.sprintf {|{"x":[%s1]}|} (String.concat "" (List.init 2000 (fun _ -> "1,")))))
[@@ocamlformat "disable"]

let signature_lengths () =
  List.iter
    (fun s ->
      let token = Jws.sign s "{}" in
      let i = String.rindex token '.' in
      let signed = String.sub token 0 i in
      let signature = Signer.sign s signed in
      let zeros = String.make (String.length signature) '\000' in
      List.iter
        (fun (what, bytes) ->
          let r = verify any [ Signer.key s ] (signed ^ "." ^ url bytes) in
          refuses (name s ^ ": " ^ what) Problem.Signature r)
        [
          ("empty", "");
          ("a byte less", String.sub signature 0 (String.length signature - 1));
          ("a byte more", signature ^ "\000");
          ("a zero before", "\000" ^ signature);
          ("zeros", zeros);
          ("ones", String.map (fun _ -> '\255') zeros);
          ("long", String.make 8000 '\001');
        ])
    signers

let too_many () =
  let keys = List.init 5 (fun i -> Key.hs256 (String.make 32 (Char.chr (97 + i)))) in
  let token = raw ~key:(String.make 32 'a') header "{}" in
  refuses "5 keys without a kid" Problem.Unknown_key (verify any keys token);
  accepts "4 keys" (verify any (List.filteri (fun i _ -> i < 4) keys) token)

let kids () =
  let key id = Key.hs256 ~id secret in
  let token id = raw (Printf.sprintf {|{"alg":"HS256","kid":"%s"}|} id) "{}" in
  accepts "its kid" (verify any [ key "a"; key "b" ] (token "b"));
  refuses "no such kid" Problem.Unknown_key (verify any [ key "a"; key "b" ] (token "c"));
  accepts "a key without one" (verify any hmac (token "c"));
  let others = Key.hs256 ~id:"b" (String.make 32 'y') in
  refuses "another's kid" Problem.Signature (verify any [ key "a"; others ] (token "b"))

(* Properties *)

let flip s bit =
  let b = Bytes.of_string s in
  Bytes.set_uint8 b (bit / 8) (Bytes.get_uint8 b (bit / 8) lxor (1 lsl (bit mod 8)));
  Bytes.to_string b

let flipped s =
  let token = sign ~issuer:"me" ~subject:"someone" ~lifetime:600. s [ ("n", `Int 7) ] in
  property ~count:150
    (name s ^ ": a token with a bit flipped is refused")
    QCheck2.Gen.(int_bound ((8 * String.length token) - 1))
    (fun bit -> Result.is_error (verify any [ Signer.key s ] (flip token bit)))

let round s =
  let text = QCheck2.Gen.(string_size ~gen:printable (int_bound 60)) in
  property ~count:30
    (name s ^ ": what is signed is verified")
    QCheck2.Gen.(pair text text)
    (fun (issuer, subject) ->
      let token = sign ~issuer ~subject ~audience:"x" ~lifetime:60. s [] in
      match verify (policy ~issuer ~audience:"x" ()) [ Signer.key s ] token with
      | Ok c -> c.issuer = Some issuer && c.subject = Some subject && c.audience = [ "x" ]
      | Error _ -> false)

let arbitrary =
  let piece = QCheck2.Gen.(string_size ~gen:char (int_bound 40)) in
  property ~count:1000 "arbitrary parts raise nothing"
    QCheck2.Gen.(quad bool piece piece piece)
    (fun (is_text, a, b, c) ->
      let part s = if is_text then url s else s in
      let header = if is_text then url header else part a in
      let keys = List.map Signer.key signers in
      Result.is_error (verify any keys (String.concat "." [ header; part b; part c ])))

let arbitrary_signature s =
  property ~count:100
    (name s ^ ": an arbitrary signature is refused, and raises nothing")
    QCheck2.Gen.(string_size ~gen:char (oneofl [ 32; 64; 256 ]))
    (fun signature -> not (Key.verify (Signer.key s) ~signature "text"))

let tests =
  [
    test "none and unknown algorithms" none;
    test "a key has one algorithm" confusion;
    test "a token doesn't bring its key" embedded;
    test "malformed tokens" shapes;
    test "critical extensions" critical;
    test "bounds of bytes, depth and values" bounds;
    test "signatures of other lengths" signature_lengths;
    test "at most four keys are tried" too_many;
    test "a kid selects the key" kids;
    arbitrary;
  ]
  @ List.concat_map (fun s -> [ flipped s; round s; arbitrary_signature s ]) signers
