(** Shared buffers for records: a connection that waits for input holds a small one, otherwise none.
    For all domains. *)

val small : int
(** [small] is the length of small buffers. *)

val large : int
(** [large] is the length of large buffers: four full records. *)

val take : int -> bytes
(** [take n] is a buffer of [n] bytes, {!small} or {!large}. *)

val give : bytes -> unit
(** [give b] returns [b]. *)
