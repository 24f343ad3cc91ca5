type value = Varint of int64 | Fixed64 of int64 | Bytes of string | Fixed32 of int32

(* Encoding *)

let encode f =
  let b = Buffer.create 64 in
  f b;
  Buffer.contents b

let rec add_varint b n =
  let low = Int64.to_int n land 0x7f and rest = Int64.shift_right_logical n 7 in
  if rest = 0L then Buffer.add_uint8 b low
  else (
    Buffer.add_uint8 b (low lor 0x80);
    add_varint b rest)

let varint b n = add_varint b (Int64.of_int n)
let add_key b number kind = add_varint b (Int64.of_int ((number lsl 3) lor kind))

let int64 b number n =
  if n <> 0L then (
    add_key b number 0;
    add_varint b n)

let int b number n = int64 b number (Int64.of_int n)
let bool b number v = if v then int b number 1

let message b number s =
  add_key b number 2;
  add_varint b (Int64.of_int (String.length s));
  Buffer.add_string b s

let string b number s = if s <> "" then message b number s

let fixed32 b number n =
  if n <> 0l then (
    add_key b number 5;
    Buffer.add_int32_le b n)

let fixed64 b number n =
  if n <> 0L then (
    add_key b number 1;
    Buffer.add_int64_le b n)

(* Decoding *)

exception Malformed of int * string

let malformed at what = raise_notrace (Malformed (at, what))

(* The number that begins at [i], and the index behind it. At most ten bytes, of which the last one has
   one bit. *)
let take_varint s i =
  let rec go at shift n =
    if at >= String.length s then malformed at "the end in a number";
    let byte = Char.code s.[at] in
    if shift = 63 && byte > 1 then malformed at "a number of more than 64 bits";
    let n = Int64.logor n (Int64.shift_left (Int64.of_int (byte land 0x7f)) shift) in
    if byte < 0x80 then (n, at + 1) else go (at + 1) (shift + 7) n
  in
  go i 0 0L

(* How many bytes may follow [i]. *)
let room s i n = if String.length s - i < n then malformed i "the end in a field"

let value s i kind =
  match kind with
  | 0 ->
      let n, i = take_varint s i in
      (Varint n, i)
  | 1 ->
      room s i 8;
      (Fixed64 (String.get_int64_le s i), i + 8)
  | 2 ->
      let n, i = take_varint s i in
      (* Unsigned: a number beyond [int] isn't a length. *)
      if Int64.unsigned_compare n (Int64.of_int (String.length s - i)) > 0 then
        malformed i "a length beyond the end";
      let n = Int64.to_int n in
      (Bytes (String.sub s i n), i + n)
  | 5 ->
      room s i 4;
      (Fixed32 (String.get_int32_le s i), i + 4)
  | 3 | 4 -> malformed i "a group"
  | _ -> malformed i "an unknown wire type"

let max_number = 0x1fffffffL

let run f =
  match f () with
  | v -> Ok v
  | exception Malformed (at, what) -> Error (Printf.sprintf "byte %d: %s" at what)

let decode init f s =
  let rec go acc i =
    if i = String.length s then acc
    else
      let key, after = take_varint s i in
      let number = Int64.shift_right_logical key 3 in
      if number = 0L || Int64.unsigned_compare number max_number > 0 then
        malformed i "not the number of a field";
      let v, next = value s after (Int64.to_int key land 7) in
      go (f acc (Int64.to_int number) v) next
  in
  run (fun () -> go init 0)

let packed f init s =
  let rec go acc i =
    if i = String.length s then acc
    else
      let n, i = take_varint s i in
      go (f acc n) i
  in
  run (fun () -> go init 0)
