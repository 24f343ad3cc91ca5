(** Names with a number each, sorted, in about 20 bytes and the name's length each. Private to
    {!Kv}. *)

type t

val create : unit -> t

val find : t -> string -> int
(** [find t name] is the number of [name], or -1. *)

val set : t -> string -> int -> int
(** [set t name number] binds [name], of 1 to 255 bytes, to [number], which isn't negative. It is
    the number before, or -1. *)

val remove : t -> string -> unit

val after : t -> string -> string Seq.t
(** [after t name] is the names behind [name], sorted. A change of [t] ends the sequence. *)

val memory : t -> int
(** [memory t] is the bytes of memory that [t] takes, about. *)
