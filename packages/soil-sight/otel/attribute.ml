type value =
  [ `String of string | `Int of int | `Float of float | `Bool of bool | `Strings of string list ]

type t = string * value

let cut most text =
  if String.length text <= most then text
  else
    (* No part of a character of UTF-8 at the end. *)
    let rec boundary i =
      if i > 0 && Char.code text.[i] land 0xc0 = 0x80 then boundary (i - 1) else i
    in
    String.sub text 0 (boundary most)

let rec first n = function x :: rest when n > 0 -> x :: first (n - 1) rest | _ -> []

let limited most ((key, value) : t) : t =
  let value =
    match value with
    | `String s -> `String (cut most s)
    | `Strings l -> `Strings (List.map (cut most) (first 32 l))
    | (`Int _ | `Float _ | `Bool _) as value -> value
  in
  (cut 256 key, value)

let rec value_to_json (value : value) =
  Json.record
    [
      (match value with
      | `String s -> ("stringValue", Json.string s)
      | `Int n -> ("intValue", Json.int64 n)
      | `Float x -> ("doubleValue", Json.float x)
      | `Bool value -> ("boolValue", Json.bool value)
      | `Strings l ->
          let values = List.map (fun s -> value_to_json (`String s)) l in
          ("arrayValue", Json.record [ ("values", Json.list values) ]));
    ]

let to_json l =
  let one (key, value) = Json.record [ ("key", Json.string key); ("value", value_to_json value) ] in
  Json.list (List.map one l)
