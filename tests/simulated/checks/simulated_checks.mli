(** The world of a server and of clients that use a library, and what a library should keep to. *)

val selected : (string * string list) list -> (string * string list) list
(** [selected clients] are those whose name is the value of the variable [CLIENT], or all without
    it. *)

val run : ?limit:float -> ?clients:(string * string list) list -> server:string -> unit -> unit
(** [run ~limit ~clients ~server ()] is the main function of a world: the program [server], and the
    program client.exe as each of [clients], which are names and arguments (default: one, without
    arguments), after the address of the server. The network loses frames, links are slow or fall
    apart, the server is killed, also in the middle of its work, and paused.

    Checks of each client: it reports nothing wrong; each request ends within [limit] (default: 25)
    seconds after the faults have ended, or after its start if that is later; it ends; and few
    descriptors are open then. *)
