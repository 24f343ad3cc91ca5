(** The functions on strings that Soil's modules use, as in [Stdlib.String]. That module with
    [Stdlib.Bytes] and [Stdlib.Seq] adds 90 KB to an image, since OCaml 5.4 also [Stdlib.List] and
    [Stdlib.Array]. Modules that few programs link use [Stdlib.String] if they need more. *)

external length : string -> int = "%string_length"
external get : string -> int -> char = "%string_safe_get"
external unsafe_get : string -> int -> char = "%string_unsafe_get"
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
