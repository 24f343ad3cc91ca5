(** Waiting in other threads than the program's first.

    [(libraries soil soil.threads)] in a program's dune file is all that is needed: then whatever
    waits in Soil can be called from every thread of the first domain, as {!module-Task} says.
    Without it such a call raises [Invalid_argument] in them. *)

val register : unit -> unit
(** [register ()] is what [soil.threads] does when the program starts. *)
