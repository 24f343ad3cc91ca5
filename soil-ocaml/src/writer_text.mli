(** Numbers as text, documented in {!Writer}. *)

val int : Output.t -> int -> unit
(** [int w n] writes [n] in decimal, as [string_of_int n], without allocating. *)
