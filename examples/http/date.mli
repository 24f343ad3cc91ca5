(** Dates of HTTP ({{:https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7}RFC 9110 §5.6.7}). *)

val to_string : float -> string
(** [to_string t] is the moment [t] seconds after 1970-01-01 00:00 UTC, such as
    ["Sun, 06 Nov 1994 08:49:37 GMT"]. *)
