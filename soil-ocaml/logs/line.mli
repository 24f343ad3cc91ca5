(** Messages as lines. Private to [soil.logs]. *)

val level : Logs.level -> string
(** [level l] is its name on the console. *)

val console : started:float -> string -> Logs.level -> string option -> string -> string
(** [console ~started source level header text] is the console's line, without a newline: seconds
    since [started], the level, the source unless it is [""], the header and the text. *)

val reporter : (string -> Logs.level -> string option -> string -> unit) -> Logs.reporter
(** [reporter say] is the reporter that calls [say source level header text] for each message; the
    source of {!Logs.default} is [""]. *)
