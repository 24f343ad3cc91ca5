(** Address lookups: the part of {!Dns} used by {!Tcp}. Private to Soil. *)

val operation : string

val ask : string -> (int -> int) -> int
(** [ask name submit] is the outcome of the lookup of [name] that [submit token] starts, once the
    network is up. *)

val within : float option -> string -> (unit -> 'a) -> 'a
(** [within (Some s) name f] is [f ()], a lookup of [name], and raises [Timed_out] with [name] and
    the name servers after [s] seconds; [within None name f] is [f ()]. *)

val addresses : [ `Any | `V4 | `V6 ] -> string -> Address.t list
(** [addresses family name] is documented in {!Dns.lookup}. *)

val reachable_first : Address.t list -> Address.t list * int
(** [reachable_first l] is [l] in the order of RFC 6724, and the number of addresses with a route,
    which come first. *)
