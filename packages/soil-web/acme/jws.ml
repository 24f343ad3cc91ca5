module Dsa = Mirage_crypto_ec.P256.Dsa

type key = Dsa.priv

let generate () = fst (Dsa.generate ())
let to_pem key = X509.Private_key.encode_pem (`P256 key)

let of_pem text =
  match X509.Private_key.decode_pem text with Ok (`P256 key) -> Some key | Ok _ | Error _ -> None

let alphabet = Base64.uri_safe_alphabet
let base64 s = Base64.encode_string ~pad:false ~alphabet s
let of_base64 s = Result.to_option (Base64.decode ~pad:false ~alphabet s)

let is_base64 s =
  let is_char = function 'A' .. 'Z' | 'a' .. 'z' | '0' .. '9' | '-' | '_' -> true | _ -> false in
  s <> "" && String.for_all is_char s

let max_token = 128
let is_token s = String.length s <= max_token && is_base64 s

(* The members are in the order of a thumbprint, and need no escapes. *)
let jwk_members key =
  let point = Dsa.pub_to_octets (Dsa.pub_of_priv key) in
  [
    ("crv", "P-256");
    ("kty", "EC");
    ("x", base64 (String.sub point 1 32));
    ("y", base64 (String.sub point 33 32));
  ]

let jwk key = `Assoc (List.map (fun (name, value) -> (name, `String value)) (jwk_members key))
let thumbprint key = base64 (Soil.Sha256.digest (Yojson.Safe.to_string (jwk key)))

let flattened header payload sign =
  let header = base64 (Yojson.Safe.to_string (`Assoc header)) in
  let payload = base64 payload in
  let signature = base64 (sign (header ^ "." ^ payload)) in
  `Assoc
    [
      ("protected", `String header); ("payload", `String payload); ("signature", `String signature);
    ]

let sign key ?kid ~nonce ~url payload =
  let identity = match kid with Some kid -> ("kid", `String kid) | None -> ("jwk", jwk key) in
  let header =
    [ ("alg", `String "ES256"); identity; ("nonce", `String nonce); ("url", `String url) ]
  in
  let sign text =
    let r, s = Dsa.sign ~key (Soil.Sha256.digest text) in
    r ^ s
  in
  Yojson.Safe.to_string (flattened header payload sign)

let bind key ~kid ~secret ~url =
  let header = [ ("alg", `String "HS256"); ("kid", `String kid); ("url", `String url) ] in
  flattened header (Yojson.Safe.to_string (jwk key)) (fun text -> Soil.Sha256.hmac ~key:secret text)
