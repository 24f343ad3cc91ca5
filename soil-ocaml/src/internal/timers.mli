(** A priority queue of deadlines. Private to Soil.

    If a signal handler raises during an operation, the set is as before or as after the operation.
*)

type 'a timer = {
  mutable at : int;  (** Changed only outside of sets. *)
  mutable order : int;  (** Of addition. *)
  value : 'a;
  mutable place : int;  (** {!absent} outside of sets. *)
}
(** The type for a timer that carries an ['a]. *)

type 'a t = {
  mutable heap : 'a timer array;
  mutable length : int;
  mutable added : int;
  mutable misplaced : int;
}
(** The type for sets of timers: the first [length] ones of [heap]. *)

val absent : int

val create : unit -> 'a t
(** [create ()] is an empty set. *)

val is_empty : 'a t -> bool
(** [is_empty s] is [true] iff there is no timer in [s]. *)

val timer : at:int -> 'a -> 'a timer
(** [timer ~at v] is a timer for the time [at] (monotonic nanoseconds), not in a set. *)

val add : 'a t -> 'a timer -> unit
(** [add s t] adds [t], which isn't in a set, to [s] in logarithmic time. *)

val remove : 'a t -> 'a timer -> unit
(** [remove s t] removes [t] from [s] in logarithmic time; it does nothing if removed before. *)

val earliest : 'a t -> int
(** [earliest s] is the time of the first timer; [s] isn't empty. *)

val take_due : 'a t -> now:int -> 'a option
(** [take_due s ~now] removes the first timer if its time isn't after [now]. Timers with equal times
    are in the order of addition. *)
