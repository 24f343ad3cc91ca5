type t = Buffer.t -> unit

let raw text b = Buffer.add_string b text
let is_plain c = c >= ' ' && c < '\x7f' && c <> '"' && c <> '\\'

let escaped text b =
  let rec go i =
    if i < String.length text then (
      let decoded = String.get_utf_8_uchar text i in
      (match Uchar.to_int (Uchar.utf_decode_uchar decoded) with
      | (0x22 | 0x5c) as c ->
          Buffer.add_char b '\\';
          Buffer.add_char b (Char.chr c)
      | c when c < 0x20 || c = 0x7f -> Printf.bprintf b "\\u%04x" c
      | _ -> Buffer.add_utf_8_uchar b (Uchar.utf_decode_uchar decoded));
      go (i + Uchar.utf_decode_length decoded))
  in
  go 0

let string text b =
  Buffer.add_char b '"';
  if String.for_all is_plain text then Buffer.add_string b text else escaped text b;
  Buffer.add_char b '"'

let int n = raw (string_of_int n)
let bool value = raw (string_of_bool value)
let int64 n = raw ("\"" ^ string_of_int n ^ "\"")

let float x =
  match Float.classify_float x with
  | FP_nan -> raw "\"NaN\""
  | FP_infinite -> raw (if x > 0. then "\"Infinity\"" else "\"-Infinity\"")
  | FP_zero | FP_normal | FP_subnormal -> raw (Printf.sprintf "%.17g" x)

let separated b f =
  List.iteri (fun i x ->
      if i > 0 then Buffer.add_char b ',';
      f x)

let list l b =
  Buffer.add_char b '[';
  separated b (fun value -> value b) l;
  Buffer.add_char b ']'

let record fields b =
  Buffer.add_char b '{';
  separated b
    (fun (name, value) ->
      Buffer.add_char b '"';
      Buffer.add_string b name;
      Buffer.add_string b "\":";
      value b)
    fields;
  Buffer.add_char b '}'

let to_string value =
  let b = Buffer.create 512 in
  value b;
  Buffer.contents b
