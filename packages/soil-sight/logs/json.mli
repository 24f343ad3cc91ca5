(** Messages as JSON. *)

val line : Sink.message -> string
(** [line m] is an object of JSON on a line, with its newline: [time] (RFC 3339), [level], [source]
    unless it is the default one, the tags by name, and [message]. A tag of one of these names is
    called [tag_time], …. A tag with the documentation ["application/json"] prints a JSON value,
    which is a member as it is; lines of text leave it out. *)
