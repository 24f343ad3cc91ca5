(** The turns of tasks and threads that write to one descriptor: each waits for an event. Private to
    Soil. *)

val register : unit -> unit
(** [register ()] lets {!Descriptor} have these turns. *)
