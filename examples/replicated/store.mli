(** The state machine: keys with values, and the sessions of clients. Immutable, and the same on
    every server that has applied the same entries. *)

type t

val empty : t

val find : t -> string -> string option
(** [find s key] is the value of [key]. *)

val apply : t -> index:int -> Command.t -> t * Command.result
(** [apply s ~index command] is the effect of the entry [index], and its result. *)

val max_sessions : int
(** The number of sessions that are kept: opening one more drops the least recently used one. *)

val save : t -> string
(** [save s] is the data of a snapshot. *)

val load : string -> t
(** [load data] is the inverse. Raises {!Wire.Malformed}. *)
