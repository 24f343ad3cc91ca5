(** The thread that Soil belongs to: the program's first one. Private to Soil. *)

val check : unit -> unit
(** [check ()] raises [Invalid_argument] in any other thread or domain. *)
