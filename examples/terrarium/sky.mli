(** Day and night. *)

val light : float -> float
(** [light hour] is the brightness, from 0 to 1, at an hour from 0 to 24. *)

val paint :
  into:Soil_draw.pixels -> plants:Soil_draw.pixels -> hour:float -> first:int -> rows:int -> unit
(** [paint ~into ~plants ~hour ~first ~rows] paints rows of the scene from [first] on: the sky
    behind the plants, both in the light of the hour. *)

val lamp : Soil_draw.pixels -> hour:float -> unit
(** [lamp p ~hour] paints the sun or the moon at its position. *)
