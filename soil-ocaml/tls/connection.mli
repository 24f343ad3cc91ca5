(** Connections: a Rust session between a flow and its plaintext. *)

type t
type Soil.Flow.state += Tls of t

val start :
  ?received:string ->
  Settings.config ->
  host:string option ->
  [> `Read | `Write | `Shutdown ] Soil.File_descriptor.t ->
  Soil.Flow.t
(** [start config ~host d] performs the handshake over [d], of which [received] was read before, as
    a client of [host] or as a server. If it fails, [d] is closed. *)

val of_flow : string -> _ Soil.File_descriptor.t -> t
(** [of_flow operation f] is the connection of [f]. Raises [Invalid_argument] if there is none. *)

val fact : t -> int -> string
(** [fact t n] is the fact with number [n], as in [soil_tls_fact]. *)

val resumed : t -> bool
val peer_certificates : t -> string list
val update_keys : t -> unit
