(** Messages as lines. Private to [soil.logs]. *)

val level : Logs.level -> string
(** [level l] is its name on the console. *)

val timestamp : int -> string
(** [timestamp ns] is a time in nanoseconds since 1970, in UTC, as in RFC 3339 and RFC 5424:
    [2026-11-27T17:40:12.000123Z]. *)

val console : time:int -> string -> Logs.level -> string option -> string -> string
(** [console ~time source level header text] is the console's line, without a newline: the time (see
    {!timestamp}), the level, the source unless it is [""], the header and the text. *)

val reporter : (string -> Logs.level -> string option -> string -> unit) -> Logs.reporter
(** [reporter say] is the reporter that calls [say source level header text] for each message; the
    source of {!Logs.default} is [""]. *)
