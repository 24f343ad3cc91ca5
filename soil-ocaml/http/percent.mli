(** Percent encoding ({{:https://www.rfc-editor.org/rfc/rfc3986#section-2.1}RFC 3986 §2.1}), decoded
    strictly, unlike by {!Uri.pct_decode}. Private to [soil.http]. *)

val decode : ?plus:char -> string -> string option
(** [decode s] is [s] with its escapes decoded, or [None] if one is malformed. [plus] (default:
    ['+']) is what a ["+"] stands for. *)
