type t = Address.t

let is_v4 = Address.is_v4
let of_string_opt = Address.of_string_opt
let of_string = Text.value of_string_opt "Address.of_string: not an address"
let to_string = Address.to_string
let to_octets = Address.to_octets
let of_octets = Address.of_octets

external equal : t -> t -> bool = "caml_string_equal" [@@noalloc]
external compare : t -> t -> int = "caml_string_compare" [@@noalloc]

let hash (a : t) = Print.hash a
let pp f a = Print.string f (to_string a)
