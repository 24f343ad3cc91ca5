(** The functions on bytes that Soil's modules use, as in [Stdlib.Bytes]. See [String]. *)

external length : bytes -> int = "%bytes_length"
external get : bytes -> int -> char = "%bytes_safe_get"
external set : bytes -> int -> char -> unit = "%bytes_safe_set"
external unsafe_get : bytes -> int -> char = "%bytes_unsafe_get"
external unsafe_set : bytes -> int -> char -> unit = "%bytes_unsafe_set"
external create : int -> bytes = "caml_create_bytes"
external unsafe_to_string : bytes -> string = "%bytes_to_string"
external unsafe_of_string : string -> bytes = "%bytes_of_string"
external unsafe_blit : bytes -> int -> bytes -> int -> int -> unit = "caml_blit_bytes" [@@noalloc]
val empty : bytes
val of_string : string -> bytes
val sub : bytes -> int -> int -> bytes
val sub_string : bytes -> int -> int -> string
val extend : bytes -> int -> int -> bytes
val cat : bytes -> bytes -> bytes
val concat : bytes -> bytes list -> bytes
val fill : bytes -> int -> int -> char -> unit
val blit : bytes -> int -> bytes -> int -> int -> unit
val blit_string : string -> int -> bytes -> int -> int -> unit
external get_uint8 : bytes -> int -> int = "%bytes_safe_get"
external set_uint8 : bytes -> int -> int -> unit = "%bytes_safe_set"
val get_uint16_be : bytes -> int -> int
external get_uint16_le : bytes -> int -> int = "%caml_bytes_get16"
val get_int16_be : bytes -> int -> int
val get_int16_le : bytes -> int -> int
val get_int32_be : bytes -> int -> int32
external get_int32_le : bytes -> int -> int32 = "%caml_bytes_get32"
val get_int64_be : bytes -> int -> int64
external get_int64_le : bytes -> int -> int64 = "%caml_bytes_get64"
val set_uint16_be : bytes -> int -> int -> unit
external set_uint16_le : bytes -> int -> int -> unit = "%caml_bytes_set16"
val set_int32_be : bytes -> int -> int32 -> unit
external set_int32_le : bytes -> int -> int32 -> unit = "%caml_bytes_set32"
val set_int64_be : bytes -> int -> int64 -> unit
external set_int64_le : bytes -> int -> int64 -> unit = "%caml_bytes_set64"
