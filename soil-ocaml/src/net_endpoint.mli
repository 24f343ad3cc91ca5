(** Addresses with ports, documented in {!Net}. *)

type t = Address.endpoint = { address : Address.t; port : int }
(** The type for endpoints: {!Net.type-endpoint}. *)

val to_string : t -> string
(** [to_string e] is ["192.0.2.1:80"] or ["[2001:db8::1]:80"]. *)

val of_string_opt : string -> t option
(** [of_string_opt s] is the endpoint [s], in the form of {!to_string}. *)

val of_string : string -> t
(** [of_string s] is like {!of_string_opt}. Raises [Invalid_argument] if [s] isn't an endpoint. *)

external equal : t -> t -> bool = "caml_equal"

external compare : t -> t -> int = "caml_compare"
(** An arbitrary total order, for sets and maps. *)

val hash : t -> int

val pp : Format.formatter -> t -> unit
(** [pp f e] prints [to_string e]. *)
