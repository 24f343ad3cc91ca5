(** A drop for each packet. *)

type t

val create : unit -> t

val fall : t -> Soil_draw.pixels -> ground:int -> unit
(** [fall r p ~ground] moves and paints the drops, and starts those of the packets since the last
    call. *)

val packets : t -> int
(** [packets r] is the number of drops so far. *)
