(** Plants that grow. *)

type t

val create : width:int -> height:int -> t
(** [create ~width ~height] is bare ground. *)

val ground : t -> int
(** [ground g] is the row where the ground begins. *)

val plants : t -> int
(** [plants g] is how many there are. *)

val sow : t -> x:int -> unit
(** [sow g ~x] plants a seed in this column. When there are too many the oldest one is counted no
    more and stops growing; what it has grown stays in the picture. *)

val grow : t -> unit
(** [grow g] lets every shoot grow a bit. *)

val picture : t -> Soil_draw.pixels
(** [picture g] is the plants and the ground; pixels without either are 0. *)
