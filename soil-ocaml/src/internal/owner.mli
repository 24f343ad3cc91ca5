(** The threads that Soil supports: those of the program's first domain. The first of them runs the
    scheduler. Private to Soil. *)

val is_other : unit -> bool
(** [is_other ()] is [true] iff this isn't the first thread. Raises [Invalid_argument] in another
    domain. *)

val check : unit -> unit
(** [check ()] raises [Invalid_argument] in any thread or domain other than the first. *)

val check_domain : unit -> unit
(** [check_domain ()] raises [Invalid_argument] in any domain other than the first. *)
