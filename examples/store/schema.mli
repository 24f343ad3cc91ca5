(** The tables of the store. *)

val create : Database.t -> unit
(** [create db] creates the tables that are missing. Several machines may do it at once. Waits.
    Raises as {!Database.query}. *)
