(** The buffer of {!Writer}. Private to Soil. *)

type t = {
  descriptor : Descriptor.t;
  buffer : bytes;  (** The last data: bytes [first … last - 1]. *)
  mutable first : int;
  mutable last : int;
  mutable front : string list;  (** The first data. *)
  mutable written : int;  (** Bytes of the first of [front] that were written. *)
  mutable back : string list;  (** The data after [front], in reverse order. *)
  mutable queued : int;  (** Bytes in [front] and [back] that weren't written. *)
}

val flush : t -> unit
(** Documented in {!Writer.flush}. *)

val pending : t -> int
(** Documented in {!Writer.pending}. *)

val room : t -> int -> int
(** [room w n] waits until the buffer has room for [n <= 16] bytes, reserves them, and is their
    offset in [w.buffer]. *)

val add : t -> int -> (int -> unit) -> (unit -> string) -> unit
(** [add w len blit whole] writes [len] bytes: few by [blit at] into [w.buffer], many as [whole ()].
*)

val string : ?off:int -> ?len:int -> t -> string -> unit
(** Documented in {!Writer.string}. *)
