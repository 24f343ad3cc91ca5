(** Bigarrays for device I/O of [bytes]. Private to Soil. *)

type buffer = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t

val create : int -> buffer
(** [create n] is a new buffer of [n] bytes. *)

val empty : buffer
(** [empty] has no bytes. Bigarrays of leases are parts of it, so that they own no memory to be
    freed. *)

external sub : buffer -> int -> int -> buffer = "caml_ba_sub"
(** [Bigarray.Array1.sub]. *)

val size : int
(** [size] is the length of the pool's buffers: 64 KiB. *)

val with_buffer : (buffer -> 'a) -> 'a
(** [with_buffer f] is [f b] for a buffer [b] from the pool, which is returned when [f] returns. *)

val lose : int -> buffer -> unit
(** [lose volume b] keeps [b] alive and unused, because a device may still access it, until another
    buffer is lost to the same volume. *)

val to_bytes : buffer -> int -> bytes -> int -> int -> unit
(** [to_bytes src src_off dst dst_off len] copies. The ranges are the caller's responsibility. *)

val of_bytes : bytes -> int -> buffer -> int -> int -> unit
(** [of_bytes src src_off dst dst_off len] copies. The ranges are the caller's responsibility. *)
