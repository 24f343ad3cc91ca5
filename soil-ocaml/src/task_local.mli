(** Task-local values, documented in {!Task}.

    For example the number of the request that a task handles, for its log lines. A task inherits
    the values of the task that spawned it at that time. *)

type 'a t
(** The type for keys of values of type ['a]. *)

val create : unit -> 'a t
(** [create ()] is a new key without values. *)

val get : 'a t -> 'a option
(** [get key] is the value of [key] in this task. Doesn't wait. *)

val with_ : 'a t -> 'a -> (unit -> 'b) -> 'b
(** [with_ key v f] is [f ()], during which [key] has the value [v] in this task and in tasks that
    it spawns. *)
