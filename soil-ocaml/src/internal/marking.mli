(** Hop limit and DSCP of the IP header, for TCP and UDP. Private to Soil. *)

val set_hop_limit : Descriptor.t -> int -> unit
(** Documented in {!Tcp.set_hop_limit} and {!Udp.set_hop_limit}. *)

val set_dscp : Descriptor.t -> int -> unit
(** Documented in {!Tcp.set_dscp} and {!Udp.set_dscp}. *)

val given : int option -> int option -> unit
(** [given hop_limit dscp] does nothing. Raises [Invalid_argument] if one is out of range. *)

val apply : int option -> int option -> Descriptor.t -> unit
(** [apply hop_limit dscp d] sets the given values. *)

val word : int option -> int option -> bool option -> int
(** [word hop_limit dscp ecn] encodes these for [soil_tcp_connect]. Raises [Invalid_argument] as
    {!given}. *)
