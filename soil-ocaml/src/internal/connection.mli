(** Code shared by {!Tcp} and {!Bound}. Private to Soil. *)

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

val encode : int option -> int option -> bool option -> options option -> int
(** [encode hop_limit dscp ecn options] encodes these for [soil_tcp_connect]. Raises
    [Invalid_argument] if one is out of range. *)

val backlog : string -> int -> int
(** [backlog name n] is [n]. Raises [Invalid_argument] for function [name] if it is out of range. *)

val local : Descriptor.t -> Address.endpoint
(** [local d] is the local endpoint of [d]. *)

val peer : Descriptor.t -> Address.endpoint
(** [peer d] is likewise the remote endpoint. *)

val io : Descriptor.io
(** Input and output of connections. *)

val listener : operation:string -> subject:string -> int -> Descriptor.t
(** [listener ~operation ~subject result] is the descriptor of a new listener at [subject]. *)

val to_ : Address.endpoint -> (Address.endpoint -> int) -> Descriptor.t
(** [to_ e start] waits until the network is up, calls [start e], and waits for the connection to
    [e]. [start e] is the handle of the new connection, or its negative result. *)
