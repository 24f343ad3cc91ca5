(** Networks, and addresses in them, documented in {!Net}. *)

type t = Address.t * int
(** The type for an address with the length of its network's prefix in bits: {!Net.type-prefix}. *)

val v : Address.t -> int -> t
(** [v a n] is [(a, n)]. Raises [Invalid_argument] if [n] isn't between 0 and 32 (128 for IPv6). *)

val network : t -> Address.t
(** [network p] is the first address of [p]'s network: the bits after the prefix are 0. *)

val mem : Address.t -> t -> bool
(** [mem a p] is [true] iff [a] is of the same family and in the network of [p]. *)

val of_string_opt : string -> t option
(** [of_string_opt s] is the prefix [s], an address, a slash and a length. *)

val of_string : string -> t
(** [of_string s] is like {!of_string_opt}. Raises [Invalid_argument] if [s] isn't a prefix. *)

val to_string : t -> string
(** [to_string p] is ["192.0.2.1/24"]: the address, not that of the network. *)

external equal : t -> t -> bool = "caml_equal"

external compare : t -> t -> int = "caml_compare"
(** An arbitrary total order, for sets and maps. *)

val hash : t -> int

val pp : Format.formatter -> t -> unit
(** [pp f p] prints [to_string p]. *)
