(** A server: the protocol with its disk, its connections and its clients. *)

val run : Settings.t -> unit
(** [run settings] serves until it is cancelled. It prints a line on standard output when the role
    or the term changes, such as ["term 3 leader"], and for each snapshot, such as
    ["snapshot 1200"].

    Raises {!Soil.exception-Error} if the disk fails or is full, {!Storage.Damaged}, and [Failure]
    for logs that contradict each other: a server can't go on then, and must not. *)
