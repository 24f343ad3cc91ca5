(** The elements of the page. *)

type area = { x : int; y : int; width : int; height : int }

val split : int -> [ `Columns | `Rows ] -> area -> area list
(** [split n how a] is [n] equal parts of [a] with gaps between them. *)

val card : Soil_draw.pixels -> area -> string -> area
(** [card p a title] paints an empty card and is the area inside. *)

val gauge : Soil_draw.pixels -> area -> colour:int -> share:float -> string -> unit
(** [gauge p a ~colour ~share label] paints an arc, filled up to [share], from 0 to 1. *)

val number : Soil_draw.pixels -> area -> string -> unit
(** [number p a s] paints [s] in large type. *)

val chart : Soil_draw.pixels -> area -> (int * string * float list) list -> unit
(** [chart p a series] paints lines of each series' values, in its colour, with its name and its
    last value, on a common scale. *)
