(** Deadlines, the earliest first. Private to Soil.

    An exception that a handler of a signal raises out of an operation leaves the set as it was
    before, or as it is afterwards. *)

type 'a t
(** The type for sets of timers. *)

type 'a timer
(** The type for a timer that carries an ['a]. *)

val create : unit -> 'a t
(** [create ()] is an empty set. *)

val is_empty : 'a t -> bool
(** [is_empty s] is [true] iff there is no timer in [s]. *)

val timer : at:int -> 'a -> 'a timer
(** [timer ~at v] is a timer for the moment [at] (monotonic nanoseconds), in no set yet. *)

val add : 'a t -> 'a timer -> unit
(** [add s t] puts [t], which is in no set, into [s] in logarithmic time. *)

val remove : 'a t -> 'a timer -> unit
(** [remove s t] takes [t] out of [s] in logarithmic time; it does nothing if it was taken out
    before. *)

val earliest : 'a t -> int
(** [earliest s] is the moment of the first timer; [s] isn't empty. *)

val take_due : 'a t -> now:int -> 'a option
(** [take_due s ~now] takes the first timer out if its moment isn't after [now]. Of equal moments
    the one added first comes first. *)
