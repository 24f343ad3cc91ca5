(** Percent encoding ({{:https://www.rfc-editor.org/rfc/rfc3986#section-2.1}RFC 3986 §2.1}), decoded
    strictly, unlike by {!Uri.pct_decode}. Private to [soil-http]. *)

val hexadecimal : char -> int
(** [hexadecimal c] is the value of the digit [c], or [-1]. *)

val decode : ?plus:char -> string -> string option
(** [decode s] is [s] with its escapes decoded, or [None] if one is malformed. [plus] (default:
    ['+']) is what a ["+"] stands for. *)

val add : Buffer.t -> is_plain:(char -> bool) -> char -> unit
(** [add b ~is_plain c] adds [c], or its escape unless [is_plain c]. *)
