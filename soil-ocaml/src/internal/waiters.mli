(** Queues from whose middle an entry can be taken in constant time. Private to Soil. *)

type 'a t
(** The type for queues, and for the entries in them. *)

val create : unit -> 'a t
(** [create ()] is an empty queue. *)

val is_empty : 'a t -> bool
(** [is_empty q] is [true] iff [q] has no entry. *)

val add : 'a t -> 'a -> 'a t
(** [add q v] is a new entry with [v] at the end of [q]. *)

val remove : 'a t -> unit
(** [remove entry] takes [entry] out of its queue; it does nothing if that has happened before. *)

val take : 'a t -> 'a option
(** [take q] takes the oldest entry out and is its value. *)
