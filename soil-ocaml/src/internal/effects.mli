(** The effect with which a computation suspends itself, to be resumed later. Private to Soil. *)

type t
(** The type for computations that have returned or are suspended in {!park}. *)

val finished : t
(** [finished] is a computation that has returned; no other value is physically equal to it. *)

val start : (unit -> unit) -> t
(** [start f] runs [f ()] until it returns or parks. [f] must not raise. No signal handler runs
    between [park] and the return of [start], so that none can lose the computation. *)

val park : unit -> int
(** [park ()] suspends the computation started by {!start}. Its result is the argument of
    {!continue}. *)

val continue : t -> int -> t
(** [continue t n] resumes the computation until it returns or parks again, like {!start}. [t] isn't
    {!finished}, and can be used once. *)
