(** The last values of a figure. *)

type t

val create : int -> t
(** [create n] is [n] zeros. *)

val add : t -> float -> unit
(** [add h v] adds the newest value, for which the oldest one goes. *)

val values : t -> float list
(** [values h] is the values, the oldest one first. *)

val rate : unit -> now:float -> int -> float
(** [rate ()] is a function of the times and readings of a counter: how much it grew in a second
    since the reading before. The first one gives 0. *)
