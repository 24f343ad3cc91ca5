(** HTTP dates ({{:https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7}RFC 9110 §5.6.7}). *)

val to_string : float -> string
(** [to_string t] is the time [t] seconds after 1970-01-01 00:00 UTC, such as
    ["Sun, 06 Nov 1994 08:49:37 GMT"], truncated to seconds. *)

val of_string : string -> float option
(** [of_string s] is the time [s], in that form or in one of the two obsolete ones
    (["Sunday, 06-Nov-94 08:49:37 GMT"], ["Sun Nov  6 08:49:37 1994"]); [None] if [s] isn't a date.
    Two-digit years are 1970 to 2069. *)

val to_rfc_3339 : float -> string
(** [to_rfc_3339 t] is likewise such as ["1994-11-06T08:49:37.123Z"]
    ({{:https://www.rfc-editor.org/rfc/rfc3339}RFC 3339}). *)

val now : unit -> string
(** [now ()] is [to_string (Soil.Clock.now ())], computed once a second. *)
