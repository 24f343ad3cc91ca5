(** Ethernet addresses, documented in {!Net}. *)

type t = Mac.t
(** The type for Ethernet addresses: {!Net.type-mac}. *)

val broadcast : t
(** [broadcast] is the broadcast address. *)

val is_multicast : t -> bool
(** [is_multicast m] is [true] iff [m] is a multicast address or {!broadcast}. *)

val of_string_opt : string -> t option
(** [of_string_opt s] is the address written as [s]: six bytes of two hexadecimal digits with colons
    in between. *)

val of_string : string -> t
(** [of_string s] is like {!of_string_opt}. Raises [Invalid_argument] if [s] isn't an address. *)

val to_string : t -> string
(** [to_string m] is the lowercase form, such as ["52:54:00:12:34:56"]. *)

val of_octets : string -> t
(** [of_octets s] is the address with these 6 bytes. Raises [Invalid_argument] if [s] has another
    length. *)

val to_octets : t -> string
(** [to_octets m] is its 6 bytes. *)

external equal : t -> t -> bool = "caml_string_equal" [@@noalloc]

external compare : t -> t -> int = "caml_string_compare"
[@@noalloc]
(** An arbitrary total order, for sets and maps. *)

val hash : t -> int

val pp : Format.formatter -> t -> unit
(** [pp f m] prints [to_string m]. *)
