(** Pipes: [Soil.pipe]. Private to Soil. *)

val create : ?capacity:int -> unit -> Descriptor.t * Descriptor.t
