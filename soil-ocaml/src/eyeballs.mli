(** Connecting to the fastest of a host's addresses: Happy Eyeballs (RFC 8305). Private to Soil. *)

val interleave : Address.t list -> Address.t list
(** [interleave l] is [l] with IPv6 and IPv4 taking turns, each in its order, beginning with the
    family of the first. *)

val connect : connect:(Address.t -> 'a) -> close:('a -> unit) -> timeout:float -> string -> 'a
(** [connect ~connect ~close ~timeout name] is the first [connect a] that returns, of the addresses
    [a] of the host called [name]. They are begun 250 ms apart, or when one fails, each for at most
    [timeout] seconds; those that lose are cancelled or closed. If all fail it raises what the last
    one raised. *)
