(** Values with parameters
    ({{:https://www.rfc-editor.org/rfc/rfc9110#section-5.6.6}RFC 9110 §5.6.6}), as in [Content-Type]
    and [Content-Disposition]. Private to [soil-http]. *)

val parse : string -> (string * (string * string) list) option
(** [parse s] is what precedes the first semicolon, and the parameters: names in lower case, values
    without quotes. It is [None] if one is malformed or occurs twice. A backslash in quotes stands
    for itself unless a quote or another backslash follows: browsers send names of files as they
    are. *)
