(** A drop for each packet. *)

type t

val create : unit -> t

val fall : t -> Soil_draw.pixels -> ground:int -> unit
(** [fall r p ~ground] moves the drops on and paints them; those of the packets that came since the
    last call begin. *)

val packets : t -> int
(** [packets r] is how many drops have begun. *)
