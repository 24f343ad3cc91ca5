(** Values that belong to a task, documented in {!Task}.

    Such as the number of the request that a task works on, for the lines of its log. A task begins
    with the values of the task that spawned it, whatever that changes later. *)

type 'a t
(** The type for keys of values of type ['a]. *)

val create : unit -> 'a t
(** [create ()] is a new key, which has a value nowhere. *)

val get : 'a t -> 'a option
(** [get key] is the value of [key] in this task. Doesn't wait. *)

val with_ : 'a t -> 'a -> (unit -> 'b) -> 'b
(** [with_ key v f] is [f ()], during which [key] has the value [v] in this task and in those that
    it spawns. *)
