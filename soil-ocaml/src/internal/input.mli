(** The buffer of {!Reader}. Private to Soil.

    A call consumes bytes only when it has enough, so that no exception, including cancellation,
    loses any. *)

type t = {
  descriptor : Descriptor.t;
  size : int;
  mutable buffer : bytes;  (** Of length [size] if empty. *)
  mutable first : int;  (** Bytes [first … last - 1] are buffered. *)
  mutable last : int;
  mutable before_read : unit -> unit;  (** Called before each read from [descriptor]. *)
}

val set : t -> bytes -> int -> unit
(** [set r b n] replaces the buffered bytes with the first [n] bytes of [b]. *)

val read : t -> bytes -> int -> int -> int
(** [read r b off len] reads from the descriptor, past the buffer. *)

val more : t -> bool
(** [more r] buffers more bytes, and is [false] at the end of input. *)

val advance : t -> int -> int
(** [advance r n] takes [n] buffered bytes; the result is their offset in [r.buffer]. *)

val next : t -> int -> int
(** [next r n] is {!advance}[ r n] as soon as [n] bytes are buffered. *)

val taken : t -> int -> string
(** [taken r n] is {!advance}[ r n] as a string. *)

val too_large : string -> t -> int -> 'a
(** [too_large operation r max] raises the error [Too_large] for more than [max] bytes. *)

(** {1 Documented in {!Reader}} *)

val create : int -> Descriptor.t -> t
val char : t -> char
val peek : t -> char option
val take : t -> int -> string
val input : t -> bytes -> int -> int -> int
val to_end : int -> t -> string
val line : ?max:int -> t -> string
val line_opt : ?max:int -> t -> string option
val ensure : t -> int -> unit
val buffered : t -> int
val at_end : t -> bool
