(** Lookups of addresses: the part of {!Dns} that {!Tcp} uses. Private to Soil. *)

val operation : string

val ask : string -> (int -> int) -> int
(** [ask name submit] is the outcome of the lookup of [name] that [submit token] starts, once the
    network is up. *)

val addresses : [ `Any | `V4 | `V6 ] -> string -> Address.t list
(** [addresses family name] is documented in {!Dns.lookup}. *)

val reachable_first : Address.t list -> Address.t list * int
(** [reachable_first l] is [l] in the order in which to try the addresses (RFC 6724), and the number
    of those to which there is a route, which come first. *)
