(** Addresses and endpoints as text. Private to Soil; documented in {!Net}. *)

type t
(** 16 bytes; IPv4 in the form [::ffff:a.b.c.d] (RFC 4291 §2.5.5.2), as on the Rust side. *)

val v4 : int -> int -> int -> int -> t
val any : t
val any_v4 : t
val loopback : t
val is_v4 : t -> bool
val is_loopback : t -> bool
val of_string_opt : string -> t option
val to_string : t -> string
val to_octets : t -> string
val of_octets : string -> t
external equal : t -> t -> bool = "caml_string_equal" [@@noalloc]
external compare : t -> t -> int = "caml_string_compare" [@@noalloc]

external to_raw : t -> string = "%identity"
(** [to_raw a] is its 16 bytes. *)

val decimal : digits:int -> largest:int -> string -> int option
(** [decimal ~digits ~largest s] is the number [s] of at most [digits] digits. *)

type endpoint = { address : t; port : int }

val endpoint_length : int
(** [endpoint_length] is 18: an endpoint for Rust is the address and the big-endian port. *)

val endpoint_of_raw : bytes -> endpoint
val endpoint_to_raw : endpoint -> string
val endpoint_to_string : endpoint -> string
val endpoint_of_string_opt : string -> endpoint option
val check_port : string -> int -> unit
