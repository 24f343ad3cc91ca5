(** The process of a node. Private to Soil. *)

type t
(** The type for running processes. *)

(** The type for programs of nodes. *)
type program =
  | File of { path : string; arguments : string list }  (** An executable. *)
  | Function of (unit -> unit)  (** A function of the test, in a child of its process. *)

val start : program -> (string * string) list -> t
(** [start program variables] starts a process with these variables in its environment, which waits
    for {!Wire.start}. Raises [Failure] if there is no such executable. *)

val wire : t -> Wire.t
(** [wire p] is the connection to it. *)

val pid : t -> int
(** [pid p] is its number. *)

val kill : t -> unit
(** [kill p] ends it at once. *)

val is_stopped : string -> bool
(** [is_stopped how] is whether a program ended so by a request to stop: with status 143, as
    {!Soil.run} does it, or by SIGTERM, which it didn't handle. *)

val ended : t -> string option
(** [ended p] waits for its end: [None] for status 0, else what it ended by. Closes the connection.
*)
