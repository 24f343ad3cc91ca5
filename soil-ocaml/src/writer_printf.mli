(** Formatted text, documented in {!Writer}. It links [Printf], some 30 KB. *)

val printf : Output.t -> ('a, unit, string, unit) format4 -> 'a
(** [printf w format …] writes the text formatted by [Stdlib.Printf]. *)
