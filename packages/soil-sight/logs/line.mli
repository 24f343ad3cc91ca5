(** Messages as lines. Private to [soil-sight.logs]; {!Sink} and {!Soil_logs} document the types. *)

type value = Text of string | Json of string

type t = {
  time : int;
  level : Logs.level;
  source : string;
  tags : (string * value) list;
  text : string;
}

val level : Logs.level -> string
(** [level l] is its name in a line. *)

val timestamp : int -> string
(** [timestamp ns] is a time in nanoseconds since 1970, in UTC, as in RFC 3339 and RFC 5424:
    [2026-11-27T17:40:12.000123Z]. *)

val tagged : (string * value) list -> string -> string
(** [tagged tags text] is [text] behind the tags, [[name=value …] text], without those of JSON. *)

val plain : t -> string
(** [plain m] is the line of text for [m], with its newline. *)

val reporter : (t -> unit) -> Logs.reporter
(** [reporter say] is the reporter that calls [say] for each message. *)
