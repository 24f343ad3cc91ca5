module Rsa = Mirage_crypto_pk.Rsa
module P256 = Mirage_crypto_ec.P256.Dsa
module Ed25519 = Mirage_crypto_ec.Ed25519

let ( let* ) = Result.bind
let max_values = 100

let need o name =
  let* s = Json.string o name in
  Option.to_result ~none:("no " ^ name) s

(* Some providers pad values, which RFC 7515 §2 doesn't; browsers and most libraries accept both. *)
let bytes o name =
  let* s = need o name in
  let is_base64 = String.exists (fun c -> c = '+' || c = '/') s in
  let none = name ^ if is_base64 then " is base64, not base64url" else " isn't base64url" in
  Option.to_result ~none (Base64url.decode (Base64url.without_padding s))

(* RFC 7518 §6.2.1.2: all bytes of a coordinate. *)
let bytes_32 o name =
  let* s = bytes o name in
  if String.length s = 32 then Ok s else Error (name ^ " hasn't 32 bytes")

(* What follows takes time that grows faster than the number's length. *)
let max_number = 1024

let number o name =
  let* s = bytes o name in
  if String.length s > max_number then Error (name ^ " has more than 1024 bytes")
  else Ok (Mirage_crypto_pk.Z_extra.of_octets_be s)

let of_ec r = Result.map_error (fun e -> Format.asprintf "%a" Mirage_crypto_ec.pp_error e) r
let of_rsa r = Result.map_error (fun (`Msg reason) -> reason) r
let guarded f x = match f x with key -> Ok key | exception Invalid_argument reason -> Error reason

let check_use o ~operation =
  let* use = Json.string o "use" in
  match (use, List.assoc_opt "key_ops" o) with
  | (None | Some "sig"), None -> Ok ()
  | (None | Some "sig"), Some (`List l) when List.mem (`String operation) l -> Ok ()
  | _ -> Error ("use or key_ops isn't for " ^ operation)

let check_algorithm o key =
  let* name = Json.string o "alg" in
  match name with
  | None -> Ok key
  | Some name when Key.algorithm_of_string name = Some (Key.algorithm key) -> Ok key
  | Some name -> Error (Printf.sprintf "alg %S isn't supported for this key" name)

let check_curve o expected =
  let* curve = need o "crv" in
  if curve = expected then Ok () else Error (Printf.sprintf "crv isn't %s" expected)

let public id o =
  let* kind = need o "kty" in
  match kind with
  | "RSA" ->
      let* n = number o "n" in
      let* e = number o "e" in
      let* key = of_rsa (Rsa.pub ~e ~n) in
      guarded (Key.rs256 ?id) key
  | "EC" ->
      let* () = check_curve o "P-256" in
      let* x = bytes_32 o "x" in
      let* y = bytes_32 o "y" in
      Result.map (Key.es256 ?id) (of_ec (P256.pub_of_octets ("\004" ^ x ^ y)))
  | "OKP" ->
      let* () = check_curve o "Ed25519" in
      let* x = bytes_32 o "x" in
      Result.map (Key.eddsa ?id) (of_ec (Ed25519.pub_of_octets x))
  | "oct" -> Error "a secret isn't a public key"
  | kind -> Error (Printf.sprintf "kty %S isn't supported" kind)

let key_of o =
  let* () = check_use o ~operation:"verify" in
  let* id = Json.string o "kid" in
  let* key = public id o in
  check_algorithm o key

let key text =
  let* o = Json.parse ~max_values text in
  key_of o

let members key =
  let text name s = (name, `String s) in
  let data name s = text name (Base64url.encode s) in
  let number name n = data name (Mirage_crypto_pk.Z_extra.to_octets_be n) in
  match Key.material key with
  | Secret _ -> None
  | Rsa key -> Some [ text "kty" "RSA"; number "n" key.n; number "e" key.e ]
  | P256 key ->
      let point = P256.pub_to_octets key in
      let half at = String.sub point at 32 in
      Some [ text "kty" "EC"; text "crv" "P-256"; data "x" (half 1); data "y" (half 33) ]
  | Ed25519 key ->
      Some [ text "kty" "OKP"; text "crv" "Ed25519"; data "x" (Ed25519.pub_to_octets key) ]

(* Private keys *)

let rsa_signer id o =
  let* n = number o "n" in
  let* e = number o "e" in
  let* p = number o "p" in
  let* q = number o "q" in
  if Z.numbits n > 8192 || not (Z.equal n (Z.mul p q)) then Error "n isn't p times q"
  else
    let* key = of_rsa (Rsa.priv_of_primes ~e ~p:(Z.max p q) ~q:(Z.min p q)) in
    guarded (Signer.rs256 ?id) key

let private_of_d id o =
  let* d = bytes_32 o "d" in
  let* kind = need o "kty" in
  if kind = "EC" then Result.map (Signer.es256 ?id) (of_ec (P256.priv_of_octets d))
  else Result.map (Signer.eddsa ?id) (of_ec (Ed25519.priv_of_octets d))

(* The private part and the public one belong together. *)
let check_pair id o signer =
  let* key = public id o in
  if members key = members (Signer.key signer) then Ok signer
  else Error "the public key isn't that of the private one"

let signer text =
  let* o = Json.parse ~max_values text in
  let* () = check_use o ~operation:"sign" in
  let* id = Json.string o "kid" in
  let* kind = need o "kty" in
  let* signer =
    match kind with
    | "oct" ->
        let* secret = bytes o "k" in
        guarded (Signer.hs256 ?id) secret
    | "RSA" -> rsa_signer id o
    | _ -> Result.bind (private_of_d id o) (check_pair id o)
  in
  let* _ = check_algorithm o (Signer.key signer) in
  Ok signer

(* Sets *)

let default_max_bytes = 256 * 1024
let default_max_keys = 100
let max_reason = 200

let shorten reason =
  if String.length reason > max_reason then String.sub reason 0 max_reason ^ "..." else reason

let usable left_out json =
  let o = match json with `Assoc o -> o | _ -> [] in
  match if o = [] then Error "it isn't an object with members" else key_of o with
  | Ok key -> Some key
  | Error reason ->
      let id = match Json.string o "kid" with Ok id -> id | Error _ -> None in
      left_out id (shorten reason);
      None

let set ?(max_bytes = default_max_bytes) ?(max_keys = default_max_keys) ?(left_out = fun _ _ -> ())
    text =
  if String.length text > max_bytes then Error "more bytes than max_bytes"
  else
    let* o = Json.parse ~max_values:(max_values * (max_keys + 1)) text in
    match List.assoc_opt "keys" o with
    | Some (`List l) when List.compare_length_with l max_keys > 0 -> Error "more keys than max_keys"
    | Some (`List l) -> Ok (List.filter_map (usable left_out) l)
    | Some _ | None -> Error "no list of keys"

let to_json key =
  let about =
    [ ("use", `String "sig"); ("alg", `String (Key.algorithm_to_string (Key.algorithm key))) ]
  in
  let id = Option.fold ~none:[] ~some:(fun id -> [ ("kid", `String id) ]) (Key.id key) in
  Option.map (fun members -> `Assoc (members @ about @ id)) (members key)

let set_to_string keys =
  Yojson.Safe.to_string (`Assoc [ ("keys", `List (List.filter_map to_json keys)) ])
