(* The library's own functions on strings and bytes do what those of the standard library do, with
   the same exceptions. *)
open Check

module type Strings = sig
  val make : int -> char -> string
  val init : int -> (int -> char) -> string
  val sub : string -> int -> int -> string
  val concat : string -> string list -> string
  val compare : string -> string -> int
  val iter : (char -> unit) -> string -> unit
  val fold_left : ('acc -> char -> 'acc) -> 'acc -> string -> 'acc
  val for_all : (char -> bool) -> string -> bool
  val exists : (char -> bool) -> string -> bool
  val starts_with : prefix:string -> string -> bool
  val contains : string -> char -> bool
  val index_opt : string -> char -> int option
  val rindex_opt : string -> char -> int option
  val split_on_char : char -> string -> string list
  val lowercase_ascii : string -> string
  val escaped : string -> string
  val get_uint16_be : string -> int -> int
end

module type Bytes = sig
  val of_string : string -> bytes
  val sub : bytes -> int -> int -> bytes
  val sub_string : bytes -> int -> int -> string
  val extend : bytes -> int -> int -> bytes
  val cat : bytes -> bytes -> bytes
  val concat : bytes -> bytes list -> bytes
  val fill : bytes -> int -> int -> char -> unit
  val blit : bytes -> int -> bytes -> int -> int -> unit
  val blit_string : string -> int -> bytes -> int -> int -> unit
  val get_uint8 : bytes -> int -> int
  val get_uint16_be : bytes -> int -> int
  val get_uint16_le : bytes -> int -> int
  val get_int16_be : bytes -> int -> int
  val get_int16_le : bytes -> int -> int
  val get_int32_be : bytes -> int -> int32
  val get_int32_le : bytes -> int -> int32
  val get_int64_be : bytes -> int -> int64
  val get_int64_le : bytes -> int -> int64
  val set_uint8 : bytes -> int -> int -> unit
  val set_uint16_be : bytes -> int -> int -> unit
  val set_uint16_le : bytes -> int -> int -> unit
  val set_int32_be : bytes -> int -> int32 -> unit
  val set_int32_le : bytes -> int -> int32 -> unit
  val set_int64_be : bytes -> int -> int64 -> unit
  val set_int64_le : bytes -> int -> int64 -> unit
end

let outcome f = match f () with v -> Ok v | exception (Invalid_argument _ as e) -> Error e

type case = { a : string; b : string; c : char; at : int; len : int; n : int64 }

let cases =
  let open QCheck2.Gen in
  let chars = oneof [ oneofl [ 'a'; 'B'; '.'; '"'; '\\'; '\n'; '\000'; '\255' ]; char ] in
  let text = string_size ~gen:chars (int_range 0 12) in
  let+ a = text
  and+ b = text
  and+ c = chars
  and+ at = int_range (-2) 14
  and+ len = int_range (-2) 14
  and+ n = int64 in
  { a; b; c; at; len; n }

let of_strings (module S : Strings) { a; b; c; at; len; _ } =
  let order = ref [] in
  S.iter (fun c -> order := c :: !order) a;
  let upper c = c >= 'A' && c <= 'Z' in
  ( [
      outcome (fun () -> S.make len c);
      outcome (fun () -> S.init len (fun i -> Char.chr (i + Char.code 'a')));
      outcome (fun () -> S.sub a at len);
      Ok (S.concat b [ a; b; a ]);
      Ok (S.concat b []);
      Ok (S.concat a [ b ]);
      Ok (S.lowercase_ascii a);
      Ok (S.escaped a);
    ],
    [
      S.for_all upper a;
      S.exists upper a;
      S.starts_with ~prefix:b a;
      S.starts_with ~prefix:b (b ^ a);
      S.contains a c;
    ],
    [ S.index_opt a c; S.rindex_opt a c ],
    S.split_on_char c a,
    (S.compare a b, S.compare a a, S.fold_left (fun sum c -> (3 * sum) + Char.code c) 1 a),
    outcome (fun () -> S.get_uint16_be a at),
    !order )

let of_bytes (module B : Bytes) { a; b; c; at; len; n } =
  let changed f =
    let bytes = B.of_string a in
    outcome (fun () ->
        f bytes;
        Bytes.to_string bytes)
  in
  let got f = outcome (fun () -> f (B.of_string a) at) in
  let a' = B.of_string a and b' = B.of_string b in
  let narrow = Int64.to_int n and middle = Int64.to_int32 n in
  ( [
      outcome (fun () -> Bytes.to_string (B.sub a' at len));
      outcome (fun () -> B.sub_string a' at len);
      (* What is new in an extended one has any contents. *)
      outcome (fun () -> string_of_int (Bytes.length (B.extend a' at len)));
      (if at <= 0 && len <= 0 then outcome (fun () -> Bytes.to_string (B.extend a' at len))
       else Ok "");
      Ok (Bytes.to_string (B.cat a' b'));
      Ok (Bytes.to_string (B.concat b' [ a'; b'; a' ]));
      changed (fun bytes -> B.fill bytes at len c);
      changed (fun bytes -> B.blit bytes 0 bytes at len);
      changed (fun bytes -> B.blit bytes at bytes 1 len);
      changed (fun bytes -> B.blit_string b at bytes 0 len);
      changed (fun bytes -> B.set_uint8 bytes at (narrow land 255));
      changed (fun bytes -> B.set_uint16_be bytes at narrow);
      changed (fun bytes -> B.set_uint16_le bytes at narrow);
      changed (fun bytes -> B.set_int32_be bytes at middle);
      changed (fun bytes -> B.set_int32_le bytes at middle);
      changed (fun bytes -> B.set_int64_be bytes at n);
      changed (fun bytes -> B.set_int64_le bytes at n);
    ],
    [
      got B.get_uint8;
      got B.get_uint16_be;
      got B.get_uint16_le;
      got B.get_int16_be;
      got B.get_int16_le;
    ],
    [ got B.get_int32_be; got B.get_int32_le ],
    [ got B.get_int64_be; got B.get_int64_le ] )

let grown () =
  let longer = Lean_bytes.extend (Bytes.of_string "abcd") (-1) 3 in
  string "the part that is kept" "bcd" (Bytes.sub_string longer 0 3);
  let longer = Lean_bytes.extend (Bytes.of_string "abcd") 2 (-1) in
  string "and behind a gap" "abc" (Bytes.sub_string longer 2 3)

let tests =
  [
    property "strings as the standard library's" cases (fun case ->
        of_strings (module Lean_string) case = of_strings (module String) case);
    property "bytes as the standard library's" cases (fun case ->
        of_bytes (module Lean_bytes) case = of_bytes (module Bytes) case);
    test "bytes that grow" grown;
  ]
