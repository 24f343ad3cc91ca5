(** IPv4 and IPv6 addresses, documented in {!Net}. *)

type t = Address.t
(** The type for addresses: {!Net.type-address}. *)

val is_v4 : t -> bool
(** [is_v4 a] is [true] iff [a] is an IPv4 address. *)

val of_string_opt : string -> t option
(** [of_string_opt s] is the address written as [s]: four decimal numbers without leading zeros, or
    any form of {{:https://www.rfc-editor.org/rfc/rfc4291#section-2.2}RFC 4291 §2.2}; no zone. *)

val of_string : string -> t
(** [of_string s] is like {!of_string_opt}. Raises [Invalid_argument] if [s] isn't an address. *)

val to_string : t -> string
(** [to_string a] is the canonical form of [a], that of
    {{:https://www.rfc-editor.org/rfc/rfc5952}RFC 5952} for IPv6. *)

val to_octets : t -> string
(** [to_octets a] is [a] in network byte order: 4 bytes for IPv4, 16 for IPv6. *)

val of_octets : string -> t
(** [of_octets s] is the address with these 4 or 16 bytes. Raises [Invalid_argument] if [s] has
    another length. *)

external equal : t -> t -> bool = "caml_string_equal" [@@noalloc]

external compare : t -> t -> int = "caml_string_compare"
[@@noalloc]
(** An arbitrary total order, for sets and maps. *)

val hash : t -> int

val pp : Format.formatter -> t -> unit
(** [pp f a] prints [to_string a]. *)
