(** Growing plants. *)

type t

val create : width:int -> height:int -> t
(** [create ~width ~height] is bare ground. *)

val ground : t -> int
(** [ground g] is the row where the ground begins. *)

val plants : t -> int
(** [plants g] is the number of plants. *)

val sow : t -> x:int -> unit
(** [sow g ~x] plants a seed in this column. If there are too many, the oldest one is no longer
    counted and stops growing, but stays in the picture. *)

val grow : t -> unit
(** [grow g] grows every shoot by one step. *)

val picture : t -> Soil_draw.pixels
(** [picture g] is the plants and the ground; pixels without either are 0. *)
