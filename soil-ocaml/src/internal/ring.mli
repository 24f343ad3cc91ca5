(** FIFO queues. Private to Soil. *)

type 'a t
(** The type for queues. *)

val create : 'a -> 'a t
(** [create empty] is an empty queue; [empty] fills unused slots. *)

val length : 'a t -> int
(** [length q] is the number of elements. *)

val reserve : 'a t -> int -> unit
(** [reserve q n] makes room for [n] elements in all: {!push} takes no memory until there are more.
*)

val push : 'a t -> 'a -> unit
(** [push q v] adds [v] at the end; the queue grows as needed. *)

val pop : 'a t -> 'a
(** [pop q] removes the oldest element; [q] isn't empty. *)

val put_first : 'a t -> int -> unit
(** [put_first q i] exchanges the oldest element with the [i]th after it, [0 <= i < length q]. *)
