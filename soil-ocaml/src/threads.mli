(** Waiting in threads other than the first.

    With [(libraries soil soil.threads)] in a program's dune file, all threads of the first domain
    can call Soil's functions that wait, as described in {!module-Task}. Without it such calls raise
    [Invalid_argument] there. *)

val register : unit -> unit
(** [register ()] is called by [soil.threads] when the program starts. *)
