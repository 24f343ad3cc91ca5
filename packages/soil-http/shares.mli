(** How much of what all share one key holds, such as a client's address. Private to [soil-http].

    Memory is that of the keys that hold or wait for something. *)

type t

val create : int -> t
(** [create n] lets each key hold [n] places, at least 1. *)

val take : t -> string option -> seconds:float -> (unit -> unit) option
(** [take t key ~seconds] waits for a place of [key], for at most [seconds], if all are held. The
    result returns the place, however often it is called; or is [None]. No key has no limit. *)
