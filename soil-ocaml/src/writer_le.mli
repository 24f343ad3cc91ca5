(** Numbers in binary, documented in {!Writer}. *)

val uint16 : Output.t -> int -> unit
(** [uint16 w n] writes the low two bytes of [n], signed or not. *)

val uint32 : Output.t -> int -> unit
(** [uint32 w n] writes the low four bytes of [n], signed or not. *)

val uint64 : Output.t -> int64 -> unit
(** [uint64 w n] writes eight bytes. *)

val float : Output.t -> float -> unit
(** [float w x] writes the eight bytes of an IEEE 754 number. *)
