(** Tokens and lists of HTTP ({{:https://www.rfc-editor.org/rfc/rfc9110#section-5.6}RFC 9110 §5.6}).
    Private to [soil.http]. *)

val is_token_char : char -> bool
(** [is_token_char c] is [true] iff method and field names may contain [c]. *)

val is_token : string -> bool
(** [is_token s] is [true] iff [s] isn't empty and consists of such characters. *)

val is_value : string -> bool
(** [is_value s] is [true] iff [s] has no control characters except tabs, and so can be a field
    value. *)

val is_digits : string -> bool
(** [is_digits s] is [true] iff [s] consists of one or more digits. *)

val is_host : string -> bool
(** [is_host s] is [true] iff [s] can be a host with or without a port, as in the field [Host]. *)

val equal : string -> string -> bool
(** [equal a b] compares case-insensitively. *)

val is_closed : string -> bool
(** [is_closed s] is [true] iff each quoted string and each comment that begins in [s] ends there,
    so that what is added to the list [s] can't become a part of them. *)

val elements : string -> string list
(** [elements s] is the non-empty elements of a comma-separated list, without surrounding white
    space. *)

val mem : Cohttp.Header.t -> string -> string -> bool
(** [mem headers name word] is [true] iff the list in the fields [name] contains [word]. *)

val weight : Cohttp.Header.t -> string -> string -> float
(** [weight headers name coding] is the weight of [coding] in the list in the fields [name]
    ({{:https://www.rfc-editor.org/rfc/rfc9110#section-12.4.2}RFC 9110 §12.4.2}): that of ["*"] if
    the list doesn't contain it, or 0. *)

val end_of : (char -> bool) -> string -> int -> int -> int
(** [end_of is s i length] is the index of the first character in [i … length - 1] of [s] that isn't
    such a one, or [length]. *)

val escaped : string -> string
(** [escaped s] is [s] in printable ASCII, as in a quoted string: quotes and backslashes behind a
    backslash, and other bytes as [\xHH], as Apache has them in its logs. *)
