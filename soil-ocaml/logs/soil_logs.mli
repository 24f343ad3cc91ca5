(** A reporter for the [logs] library that writes to the machine's error console. *)

val reporter : unit -> Logs.reporter
(** [reporter ()] writes a line for each message to the standard error channel: seconds since the
    reporter was made, level, the name of the source unless it is the default one, and the message.
    Lines of several tasks don't mix. *)

val level_of_string : string -> Logs.level option
(** [level_of_string s] is the level that [s] names as in [SOIL_LOG]: [error], [warn], [info] or
    [debug]; [None] for anything else. *)

val setup : unit -> unit
(** [setup ()] makes {!reporter} the program's, with the level that [SOIL_LOG] names ([warn] unless
    it is set and known). Call it once, at the start. *)
