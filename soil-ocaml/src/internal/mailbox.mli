(** Values for one task from threads of any domain. *)

type 'a t

val create : unit -> 'a t
(** [create ()] is an empty mailbox. *)

val put : 'a t -> 'a -> bool
(** [put m v] adds [v], wakes the task that waits, and is [true]; or is [false] if [m] is closed.
    From any thread of any domain. Never waits for the task. *)

val take : 'a t -> operation:string -> 'a
(** [take m ~operation] waits until there is a value, and takes the oldest. For one task at a time.
*)

val close : 'a t -> 'a list
(** [close m] is what {!take} hasn't taken, the oldest first. For the same task, and once. *)
