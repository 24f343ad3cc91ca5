type t = Mac.t

let to_string = Mac.text

let of_octets s =
  if String.length s <> 6 then invalid_arg "Soil.Net.Mac.of_octets: not 6 bytes";
  let hex n = String.make 1 "0123456789abcdef".[n] in
  let byte i = hex (Char.code s.[i] lsr 4) ^ hex (Char.code s.[i] land 15) in
  Mac.of_text (String.concat ":" (List.init 6 byte))

let to_octets m =
  let byte i = int_of_string ("0x" ^ String.sub (Mac.text m) (3 * i) 2) in
  String.init 6 (fun i -> Char.chr (byte i))

let broadcast = Mac.of_text "ff:ff:ff:ff:ff:ff"
let is_multicast m = Char.code (to_octets m).[0] land 1 = 1

let of_string_opt s =
  let is_digit = function '0' .. '9' | 'a' .. 'f' | 'A' .. 'F' -> true | _ -> false in
  let is_byte s = String.length s = 2 && String.for_all is_digit s in
  let bytes = String.split_on_char ':' s in
  if List.length bytes = 6 && List.for_all is_byte bytes then
    Some (Mac.of_text (String.lowercase_ascii s))
  else None

let of_string = Text.value of_string_opt "Mac.of_string: not an Ethernet address"

external equal : t -> t -> bool = "caml_string_equal" [@@noalloc]
external compare : t -> t -> int = "caml_string_compare" [@@noalloc]

let hash (m : t) = Print.hash m
let pp f m = Print.string f (Mac.text m)
