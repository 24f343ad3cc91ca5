(** One effect: to stop here and be gone on with later. Private to Soil. *)

type t
(** The type for how a computation stopped: it has returned, or it waits in {!park}. *)

val finished : t
(** [finished] is that of one that has returned; nothing else is physically equal to it. *)

val start : (unit -> unit) -> t
(** [start f] runs [f ()] until it returns or parks. [f] must not raise. No handler of a signal runs
    between [park] and the return of [start], so that none can lose the computation. *)

val park : unit -> int
(** [park ()] stops the computation that {!start} began, and is the number that {!continue} goes on
    with. *)

val continue : t -> int -> t
(** [continue t n] goes on with what parked until it returns or parks again, as {!start} does. [t]
    isn't {!finished}, and can be used once. *)
