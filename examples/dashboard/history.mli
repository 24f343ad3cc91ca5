(** Recent values of a metric. *)

type t

val create : int -> t
(** [create n] is [n] zeros. *)

val add : t -> float -> unit
(** [add h v] adds the newest value and drops the oldest one. *)

val values : t -> float list
(** [values h] is the values, the oldest one first. *)

val rate : unit -> now:float -> int -> float
(** [rate ()] is a function of times and readings of a counter: its growth per second since the
    previous reading, initially 0. *)
