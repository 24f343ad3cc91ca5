(** Happy Eyeballs (RFC 8305): connecting to a host by the first address that responds. Private to
    Soil. *)

val interleave : Address.t list -> Address.t list
(** [interleave l] is [l] with IPv6 and IPv4 addresses alternating, each family in its order,
    beginning with the family of the first address. *)

val connect : connect:(Address.t -> 'a) -> close:('a -> unit) -> timeout:float -> string -> 'a
(** [connect ~connect ~close ~timeout name] is the first [connect a] that returns, for the addresses
    [a] of the host [name]. An attempt starts 250 ms after the previous one, or when that fails, and
    takes at most [timeout] seconds; the losers are cancelled or closed. If all fail, it raises the
    exception of the last one. *)
