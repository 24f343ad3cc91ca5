type field = Int of int | Text of string | Shown of (unit -> string)
type t = { mutable hash : int; mutable count : int; out : out_channel option }

let create file = { hash = 0x4bf29ce484222325; count = 0; out = Option.map open_out file }

(* As FNV-1a, by 32 bits at a time, in OCaml's 63 bits: the products carry differences upwards, the
   shift carries them down. *)
let word hash word =
  let hash = hash lxor word * 0x100000001b3 in
  hash lxor (hash lsr 29)

let number hash n = word (word hash (n land 0xffff_ffff)) (n lsr 32)

let bytes t s =
  let length = String.length s in
  let hash = ref (number t.hash length) in
  for i = 0 to (length / 4) - 1 do
    hash := word !hash (Int32.to_int (String.get_int32_le s (4 * i)))
  done;
  for i = length land lnot 3 to length - 1 do
    hash := word !hash (Char.code s.[i])
  done;
  t.hash <- !hash

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
  let value =
    match value with Int n -> string_of_int n | Text s -> quote s | Shown f -> quote (f ())
  in
  Printf.sprintf ",%S:%s" name value

let add t ~at kind fields =
  t.count <- t.count + 1;
  t.hash <- number t.hash at;
  bytes t kind;
  let hash (_, value) =
    match value with Int n -> t.hash <- number t.hash n | Text s -> bytes t s | Shown _ -> ()
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
