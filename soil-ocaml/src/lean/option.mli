(** The functions of [Stdlib.Option] that this library uses. [Stdlib.Option] refers to [Stdlib.Seq]
    and [Stdlib.Lazy]. *)

val value : 'a option -> default:'a -> 'a
val map : ('a -> 'b) -> 'a option -> 'b option
val iter : ('a -> unit) -> 'a option -> unit
val fold : none:'a -> some:('b -> 'a) -> 'b option -> 'a
