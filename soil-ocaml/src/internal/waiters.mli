(** Queues with removal of any entry in constant time. Private to Soil. *)

type 'a t
(** The type for queues, and for the entries in them. *)

val create : unit -> 'a t
(** [create ()] is an empty queue. *)

val is_empty : 'a t -> bool
(** [is_empty q] is [true] iff [q] has no entry. *)

val add : 'a t -> 'a -> 'a t
(** [add q v] is a new entry with [v] at the end of [q]. *)

val remove : 'a t -> unit
(** [remove entry] removes [entry] from its queue; it does nothing if removed before. *)

val take : 'a t -> 'a option
(** [take q] removes the oldest entry and is its value. *)

val iter_while : ('a -> bool) -> 'a t -> unit
(** [iter_while f q] is [f v] for the values of [q], the oldest first, until one is [false]. [f] may
    remove the entry that it is called for. *)
