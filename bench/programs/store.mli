(** What the storage benchmarks need besides {!Io}. *)

val connect : unit -> unit
(** [connect ()] makes the store. To be called before {!set}. *)

val set : string -> string -> unit
(** [set key value] binds [key] to [value], durable and whole after a crash at any moment. *)

val embed : string -> string -> unit
(** [embed name contents] makes a file of the program itself, or as near to it as the machine comes:
    in its first file system, which is memory. *)

val contents : string -> Io.buffer
(** [contents name] is such a file, without a copy. *)

val look : string -> (Io.buffer -> unit) -> unit
(** [look name f] is [f piece] for each piece of a file on the disk, opened for that and then
    closed, without a copy where the machine has a way to do that. *)
