(** Exclusive access of tasks and threads that write to one descriptor: each waits for an event.
    Private to Soil. *)

val register : unit -> unit
(** [register ()] registers these turns with {!Descriptor}. *)
