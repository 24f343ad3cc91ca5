(** What waits on other threads than the first: each blocks by itself. Private to Soil.

    OCaml changes threads where memory is taken, in loops and in calls that block, never between.
    What threads share is changed without any of these. *)

val interrupted : int
(** [interrupted] is the result of a wait that was given up at a {!limit}; no operation has it. *)

val operation : operation:string -> subject:string -> (int -> int) -> int
(** [operation submit] is the outcome of the operation that [submit token] starts, or
    {!interrupted}. It fails if that is negative. *)

val wait_ready : int -> int -> int
(** As {!Scheduler.wait_ready}, or {!interrupted}. *)

val sleep_until : int -> int
(** [sleep_until t] is 0 once the monotonic clock shows [t] nanoseconds or more, or {!interrupted}.
*)

val limit : int -> (unit -> 'a) -> 'a
(** [limit t f] is [f ()], whose waits are {!interrupted} from the moment [t] (nanoseconds) on. *)

val shield : (unit -> 'a) -> 'a
(** [shield f] is [f ()] without regard to the limits around it. *)

val is_late : unit -> bool
(** [is_late ()] is [true] iff a limit of the current thread has passed. *)
