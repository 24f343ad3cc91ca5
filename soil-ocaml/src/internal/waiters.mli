(** Queues with removal of any entry in constant time. Where several domains use one, they are
    within its {!guard}. Private to Soil. *)

type 'a t
(** The type for queues, and for the entries in them. *)

val create : unit -> 'a t
(** [create ()] is an empty queue. *)

val create_under : Guard.t -> 'a t
(** [create_under guard] is an empty queue with this guard. *)

val guard : 'a t -> Guard.t
(** [guard q] is the guard of [q], or of the queue that an entry was made for. *)

val is_empty : 'a t -> bool
(** [is_empty q] is [true] iff [q] has no entry. *)

val entry : 'a t -> 'a -> 'a t
(** [entry q v] is an entry with [v] that {!link} can put into [q]. *)

val link : 'a t -> 'a t -> unit
(** [link q entry] puts [entry], which is in no queue, at the end of [q]. Takes no memory. *)

val add : 'a t -> 'a -> 'a t
(** [add q v] is a new entry with [v] at the end of [q]. *)

val remove : 'a t -> unit
(** [remove entry] removes [entry] from its queue; it does nothing if removed before. *)

val is_linked : 'a t -> bool
(** [is_linked entry] is whether [entry], which was put into a queue, is still there. *)

val take_entry : 'a t -> 'a t
(** [take_entry q] removes the oldest entry, or is [q] itself if there is none. Takes no memory. *)

val value : 'a t -> 'a option
(** [value entry] is its value, and [None] for a queue. *)

val take : 'a t -> 'a option
(** [take q] removes the oldest entry and is its value. *)

val iter_while : ('a -> bool) -> 'a t -> unit
(** [iter_while f q] is [f v] for the values of [q], the oldest first, until one is [false]. [f] may
    remove the entry that it is called for. *)
