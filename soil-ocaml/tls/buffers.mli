(** Bytes for records, which connections share: one that waits for input holds a small one, and
    otherwise none. *)

val small : int
(** [small] is the length of the small ones. *)

val large : int
(** [large] is the length of the large ones: four full records. *)

val take : int -> bytes
(** [take n] is a buffer of [n] bytes, {!small} or {!large}. *)

val give : bytes -> unit
(** [give b] lets [b] be taken again. *)
