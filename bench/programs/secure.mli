(** A TLS server, on Soil or on Linux. *)

type t
(** The type for connections. *)

val serve : chain:string -> key:string -> (t -> unit) -> unit
(** [serve ~chain ~key f] listens on port 443, prints ["ready"] and runs [f c] for each connection
    after its handshake, concurrently. [chain] and [key] are PEM texts. *)

val read : t -> bytes -> int -> int -> int
(** 0 at the end. *)

val write : t -> bytes -> int -> int -> unit
