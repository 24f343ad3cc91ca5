type field = Int of int | Text of string
type t = { mutable hash : int; mutable count : int; out : out_channel option }

let create file = { hash = 0x4bf29ce484222325; count = 0; out = Option.map open_out file }

(* FNV-1a, in OCaml's 63 bits. *)
let byte hash byte = hash lxor byte * 0x100000001b3
let bytes t s = t.hash <- String.fold_left (fun hash c -> byte hash (Char.code c)) t.hash s

let rec number hash n left =
  if left = 0 then hash else number (byte hash (n land 0xff)) (n lsr 8) (left - 1)

let quote s =
  let b = Buffer.create (String.length s + 2) in
  Buffer.add_char b '"';
  let add = function
    | '"' -> Buffer.add_string b "\\\""
    | '\\' -> Buffer.add_string b "\\\\"
    | '\n' -> Buffer.add_string b "\\n"
    | '\t' -> Buffer.add_string b "\\t"
    | '\x20' .. '\x7e' as c -> Buffer.add_char b c
    | '\x00' .. '\x1f' as c -> Buffer.add_string b (Printf.sprintf "\\u%04x" (Char.code c))
    | _ -> Buffer.add_string b "\\ufffd"
  in
  String.iter add s;
  Buffer.add_char b '"';
  Buffer.contents b

let field (name, value) =
  let value = match value with Int n -> string_of_int n | Text s -> quote s in
  Printf.sprintf ",%S:%s" name value

let add t ~at kind fields =
  t.count <- t.count + 1;
  t.hash <- number t.hash at 8;
  bytes t kind;
  let hash (_, value) =
    match value with Int n -> t.hash <- number t.hash n 8 | Text s -> bytes t s
  in
  List.iter hash fields;
  match t.out with
  | None -> ()
  | Some out ->
      let fields = String.concat "" (List.map field fields) in
      Printf.fprintf out "{\"t\":%d,\"k\":%s%s}\n" at (quote kind) fields

let count t = t.count
let hash t = Printf.sprintf "%015x" (t.hash land max_int)
let close t = Option.iter close_out t.out
