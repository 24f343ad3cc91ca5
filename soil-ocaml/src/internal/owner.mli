(** The threads that Soil serves: those of the program's first domain. The first of them has the
    scheduler. Private to Soil. *)

val is_other : unit -> bool
(** [is_other ()] is [true] iff this isn't the first thread. Raises [Invalid_argument] in another
    domain. *)

val check : unit -> unit
(** [check ()] raises [Invalid_argument] in any other thread or domain than the first. *)

val check_domain : unit -> unit
(** [check_domain ()] raises [Invalid_argument] in any other domain than the first. *)
