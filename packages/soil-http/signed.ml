module Sha256 = Soil.Sha256

type keys = string list

let shortest = 32

let keys l =
  if l = [] then invalid_arg "Soil_http.Signed.keys: no key";
  if List.exists (fun key -> String.length key < shortest) l then
    invalid_arg "Soil_http.Signed.keys: a key has less than 32 bytes";
  l

let encode s = Base64.encode_string ~pad:false ~alphabet:Base64.uri_safe_alphabet s

let decode s =
  match Base64.decode ~pad:false ~alphabet:Base64.uri_safe_alphabet s with
  | Ok s -> Some s
  | Error (`Msg _) -> None

(* What is signed names the cookie: a name is a token, without a NUL. *)
let signature key ~name content = Sha256.hmac ~key (name ^ "\000" ^ content)

(* From a moment to another, in seconds since 1970. *)
let period = function
  | None -> ""
  | Some seconds ->
      if not (seconds >= 0. && seconds <= 1e12) then
        invalid_arg "Soil_http.Signed.sign: lifetime is out of range";
      let now = Soil.Clock.now () and text time = string_of_int (int_of_float time) in
      text now ^ "-" ^ text (ceil (now +. seconds))

let sign ?lifetime keys ~name value =
  let content = period lifetime ^ "." ^ encode value in
  content ^ "." ^ encode (signature (List.hd keys) ~name content)

let is_valid keys ~name content mac =
  match decode mac with
  | None -> false
  | Some mac ->
      (* All keys, whichever it is. *)
      let add found key = Sha256.equal mac (signature key ~name content) || found in
      List.fold_left add false keys

(* Clocks may be set back a little. What was signed later than that, by a clock that was wrong,
   would live until then. *)
let tolerance = 60.

let is_current period =
  period = ""
  ||
  match List.map int_of_string_opt (String.split_on_char '-' period) with
  | [ Some first; Some last ] ->
      let now = Soil.Clock.now () in
      float first <= now +. tolerance && now < float last
  | _ -> false

let verify keys ~name signed =
  match String.split_on_char '.' signed with
  | [ period; value; mac ] when is_valid keys ~name (period ^ "." ^ value) mac && is_current period
    ->
      decode value
  | _ -> None

let find keys request name =
  let value (n, signed) = if n = name then verify keys ~name signed else None in
  List.find_map value (Cookie.all request)
