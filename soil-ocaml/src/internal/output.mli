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
(** [room w n] waits until the buffer has room for [n] bytes, at most 16 or half of the buffer,
    reserves them, and is their offset in [w.buffer]. *)

val large : t -> int
(** [large w] is the length from which strings aren't copied into the buffer, half of it. *)

val add :
  t ->
  'a ->
  int ->
  int ->
  ('a -> int -> bytes -> int -> int -> unit) ->
  ('a -> int -> int -> string) ->
  unit
(** [add w b off len blit whole] writes [len] bytes of [b] from [off], which are there: few by
    [blit b off w.buffer at len], many as [whole b off len], which isn't copied. *)

val blit : bytes -> int -> bytes -> int -> int -> unit
(** [Bytes.blit] without its checks. *)

val string : ?off:int -> ?len:int -> t -> string -> unit
(** Documented in {!Writer.string}. *)
