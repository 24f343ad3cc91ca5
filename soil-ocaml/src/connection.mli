(** Connections, as {!Tcp} and {!Bound} share them. Private to Soil. *)

type options = {
  timestamps : bool;
  sack : bool;
  window_scaling : bool;
  pacing : bool;
  delayed_ack : float option;
  segment_size : int option;
}
(** Documented in {!Tcp.type-options}. *)

val default_options : options

val check_delayed_ack : float -> unit
(** [check_delayed_ack s] raises [Invalid_argument] if [s] is out of range. *)

val check_segment_size : int -> unit
(** [check_segment_size n] is likewise. *)

val how : int option -> int option -> bool option -> options option -> int
(** [how hop_limit dscp ecn options] is what [soil_tcp_connect] takes. Raises [Invalid_argument] if
    one is out of range. *)

val backlog : string -> int -> int
(** [backlog name n] is [n]. Raises [Invalid_argument], for function [name], if it is out of range.
*)

val local : Descriptor.t -> (Address.endpoint, int) result
(** [local d] is the own end of [d], or the negative result. *)

val peer : Descriptor.t -> (Address.endpoint, int) result
(** [peer d] is likewise the other end. *)

val io : Descriptor.io
(** That of connections. *)

val listener : operation:string -> subject:string -> int -> Descriptor.t
(** [listener ~operation ~subject result] is the descriptor of a new listener at [subject]. *)

val to_ : Address.endpoint -> (Address.endpoint -> int) -> Descriptor.t
(** [to_ e start] waits for the network, and then for the connection to [e] that [start e] begins
    and whose handle, or failure, that is. *)
