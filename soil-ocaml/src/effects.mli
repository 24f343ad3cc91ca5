(** One effect: to stop here and be gone on with later. Private to Soil. *)

(** The type for how a computation stopped. *)
type t =
  | Finished  (** It has returned. *)
  | Parked of (int, t) Effect.Deep.continuation  (** It waits in {!park}. *)

val start : (unit -> unit) -> t
(** [start f] runs [f ()] until it returns or parks. [f] must not raise. *)

val park : unit -> int
(** [park ()] stops the computation that {!start} began, and is the number that {!continue} goes on
    with. *)

val continue : (int, t) Effect.Deep.continuation -> int -> t
(** [continue k n] goes on with [k] until it returns or parks again. [k] can be used once. *)
