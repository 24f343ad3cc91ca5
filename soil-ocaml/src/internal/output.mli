(** The buffer of {!Writer}. Private to Soil. *)

type t = {
  descriptor : Descriptor.t;
  buffer : bytes;  (** What is written last: bytes [first … last - 1]. *)
  mutable first : int;
  mutable last : int;
  mutable front : string list;  (** What is written first. *)
  mutable written : int;  (** Bytes of the first of [front] that were written. *)
  mutable back : string list;  (** What comes after [front], the last one first. *)
  mutable queued : int;  (** Bytes in [front] and [back] that weren't written. *)
}

val flush : t -> unit
(** Documented in {!Writer.flush}. *)

val pending : t -> int
(** Documented in {!Writer.pending}. *)

val room : t -> int -> int
(** [room w n] waits until the buffer has room for [n <= 16] bytes, makes them a part of what is to
    be written, and is where they are in [w.buffer]. *)

val add : t -> int -> (int -> unit) -> (unit -> string) -> unit
(** [add w len blit whole] writes [len] bytes: few of them by [blit at] to [w.buffer], or else
    [whole ()]. *)

val string : ?off:int -> ?len:int -> t -> string -> unit
(** Documented in {!Writer.string}. *)
