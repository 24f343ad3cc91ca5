(** One effect: a computation suspends itself and is resumed later. Private to Soil. *)

type t
(** The type for suspended computations: one has returned, or waits in {!park}. *)

val finished : t
(** [finished] stands for one that has returned; nothing else is physically equal to it. *)

val start : (unit -> unit) -> t
(** [start f] runs [f ()] until it returns or parks. [f] must not raise. No handler of a signal runs
    between [park] and the return of [start], so that none can lose the computation. *)

val park : unit -> int
(** [park ()] suspends the computation that {!start} began, and is the number that {!continue}
    resumes it with. *)

val continue : t -> int -> t
(** [continue t n] resumes the computation until it returns or parks again, as {!start} does. [t]
    isn't {!finished}, and can be used once. *)
