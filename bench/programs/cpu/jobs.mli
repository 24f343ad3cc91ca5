(** Computations beside a server. Implemented once on {!Soil} and once on [Thread]. *)

val beside : string -> int -> (unit -> unit) -> (unit -> unit) -> unit
(** [beside kind n compute serve] runs [n] calls of [compute] and [serve ()]. *)
