type t = Address.t * int

let bits a = if Address.is_v4 a then 32 else 128
let is_prefix (a, n) = n >= 0 && n <= bits a

let v a n =
  if not (is_prefix (a, n)) then invalid_arg "Soil.Net.Prefix.v: not a length of the address";
  (a, n)

let network (a, n) =
  let octets = Address.to_octets a in
  let octet i =
    let kept = max 0 (min 8 (n - (8 * i))) in
    Char.chr (Char.code octets.[i] land (0xff00 lsr kept) land 0xff)
  in
  Address.of_octets (String.init (String.length octets) octet)

let mem a (b, n) =
  Address.is_v4 a = Address.is_v4 b && Address.equal (network (a, n)) (network (b, n))

let of_string_opt s =
  match String.split_on_char '/' s with
  | [ address; length ] -> (
      match (Address.of_string_opt address, Address.decimal ~digits:3 ~largest:128 length) with
      | Some a, Some n when is_prefix (a, n) -> Some (a, n)
      | _ -> None)
  | _ -> None

let of_string = Text.value of_string_opt "Prefix.of_string: not a prefix"
let to_string (a, n) = Address.to_string a ^ "/" ^ string_of_int n

external equal : t -> t -> bool = "caml_equal"
external compare : t -> t -> int = "caml_compare"

let hash (p : t) = Print.hash p
let pp f p = Print.string f (to_string p)
