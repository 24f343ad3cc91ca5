(** The functions on lists that Soil's modules use, as in [Stdlib.List]. That module with
    [Stdlib.Seq] adds 65 KB to an image. Modules that few programs link use [Stdlib.List] if they
    need more. *)

val length : 'a list -> int
val is_empty : 'a list -> bool
val init : int -> (int -> 'a) -> 'a list
val rev_append : 'a list -> 'a list -> 'a list
val rev : 'a list -> 'a list
val iteri : (int -> 'a -> unit) -> 'a list -> unit
val iter : ('a -> unit) -> 'a list -> unit
val map : ('a -> 'b) -> 'a list -> 'b list
val filter_map : ('a -> 'b option) -> 'a list -> 'b list
val fold_left : ('acc -> 'a -> 'acc) -> 'acc -> 'a list -> 'acc
val filteri : (int -> 'a -> bool) -> 'a list -> 'a list
val filter : ('a -> bool) -> 'a list -> 'a list
val partition : ('a -> bool) -> 'a list -> 'a list * 'a list
val for_all : ('a -> bool) -> 'a list -> bool
val exists : ('a -> bool) -> 'a list -> bool
val mem : 'a -> 'a list -> bool
