type t = Address.endpoint = { address : Address.t; port : int }

let to_string = Address.endpoint_to_string
let of_string_opt = Address.endpoint_of_string_opt
let of_string = Text.value of_string_opt "Endpoint.of_string: not an endpoint"

external equal : t -> t -> bool = "caml_equal"
external compare : t -> t -> int = "caml_compare"

let hash (e : t) = Print.hash e
let pp f e = Print.string f (to_string e)
