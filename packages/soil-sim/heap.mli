(** Events in the order of their times. Private to Soil. *)

type 'a t
(** The type for heaps. *)

val create : unit -> 'a t
(** [create ()] is an empty heap. *)

val add : 'a t -> at:int -> order:int -> 'a -> unit
(** [add h ~at ~order v] adds [v] for the time [at]. Of several with one time, the one with the
    least [order] is first; with equal ones, the one that was added first. *)

val next : 'a t -> int
(** [next h] is the time of the first event; [max_int] if there is none. *)

val take : 'a t -> 'a
(** [take h] removes the first event. Raises [Not_found] if there is none. *)
