(** Exhausted memory, and what ends that. Private to Soil.

    OCaml's collector advances as the program allocates. Where no allocation succeeds it stands
    still, and garbage stays: a program that catches [Out_of_memory] and goes on fails again for
    ever. So who catches it calls {!recover}. *)

val recover : exn -> bool
(** [recover e] is whether [e] reports exhausted memory: [Out_of_memory], {!Error.Error} with that
    code, or [Stack_overflow], which a task raises whose stack can't grow. If so, it calls
    {!collect}. *)

val collect : unit -> bool
(** [collect ()] collects all garbage, and compacts the heap if it has collected in the last ten
    seconds, but not compacted; [false], and nothing, for a second after its end, or four times as
    long as it took. *)

val not_before : int ref
(** The time of the next collection at the earliest. *)

val collections : unit -> int
(** [collections ()] is how often {!collect} has collected. *)

val operation : string
(** [operation] is the operation in errors that are refusals of {!Budget}. *)

val is_refusal : exn -> bool
(** [is_refusal e] is whether [e] is one. *)
