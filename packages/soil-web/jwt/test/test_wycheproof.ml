(* Wycheproof's vectors, from the folder that JOSE_CASES names: the tree has no copy of them. *)

open Soil_jwt
module J = Yojson.Safe.Util

let folder = Sys.getenv_opt "JOSE_CASES"

let unhex s = String.init (String.length s / 2) (fun i -> Char.chr (int_of_string ("0x" ^ String.sub s (2 * i) 2)))
[@@ocamlformat "disable"]

let text json name = J.to_string (J.member name json)

(* Two have the same token as valid ones; two insert characters, and pass as valid: base64url has none
   that may be skipped (RFC 7515 §2). *)
let disputed = [ ("json_web_signature_test.json", [ 367; 370; 372; 373 ]) ]

let is_disputed file t =
  let id = J.to_int (J.member "tcId" t) in
  text t "result" = "acceptable" || List.exists (fun (f, l) -> f = file && List.mem id l) disputed

(* [check group] is a function of a test, or [None] for keys that aren't supported. *)
let run folder file check () =
  let json = Yojson.Safe.from_file (Filename.concat folder file) in
  let wrong = ref [] and accepted = ref 0 and all = ref 0 in
  let one verify t =
    incr all;
    let ok = verify t in
    if ok then incr accepted;
    if ok <> (text t "result" = "valid") && not (is_disputed file t) then
      wrong := Printf.sprintf "%d (%s)" (J.to_int (J.member "tcId" t)) (text t "comment") :: !wrong
  in
  let group g =
    Option.iter (fun verify -> List.iter (one verify) J.(to_list (member "tests" g))) (check g)
  in
  List.iter group J.(to_list (member "testGroups" json));
  Printf.printf "%s: %d tests, %d accepted\n" file !all !accepted;
  Alcotest.(check (list string)) "other results" [] (List.rev !wrong)

let signature key t = Key.verify key ~signature:(unhex (text t "sig")) (unhex (text t "msg"))
let public json = J.member "publicKey" json

let p256 g =
  let point = unhex (text (public g) "uncompressed") in
  match Mirage_crypto_ec.P256.Dsa.pub_of_octets point with
  | Ok key -> Some (signature (Key.es256 key))
  | Error _ -> None

let ed25519 g =
  match Mirage_crypto_ec.Ed25519.pub_of_octets (unhex (text (public g) "pk")) with
  | Ok key -> Some (signature (Key.eddsa key))
  | Error _ -> None

let rsa g =
  let jwk = Yojson.Safe.to_string (J.member "keyJwk" g) in
  Result.to_option (Jwk.key jwk) |> Option.map signature

let jws g =
  let jwk name = J.member name g in
  let key =
    match jwk "public" with
    | `Null -> Result.map Signer.key (Jwk.signer (Yojson.Safe.to_string (jwk "private")))
    | json -> Jwk.key (Yojson.Safe.to_string json)
  in
  match key with
  | Error _ -> None
  | Ok key -> Some (fun t -> match J.member "jws" t with
      | `String token -> Result.is_ok (Result.bind (Jws.of_string token) (Jws.verify [ key ]))
      | _ -> false)
[@@ocamlformat "disable"]

let tests =
  match folder with
  | None -> []
  | Some folder ->
      List.map
        (fun (file, check) -> Check.test file (run folder file check))
        [
          ("ecdsa_secp256r1_sha256_p1363_test.json", p256);
          ("ed25519_test.json", ed25519);
          ("rsa_signature_2048_sha256_test.json", rsa);
          ("json_web_signature_test.json", jws);
        ]
