(** Tokens and lists of HTTP ({{:https://www.rfc-editor.org/rfc/rfc9110#section-5.6}RFC 9110 §5.6}).
    Private to [soil-http]. *)

type set
(** The type for sets of characters. *)

val set : (char -> bool) -> set
(** [set is] is the set of the characters [c] with [is c]. *)

val is_in : set -> char -> bool
(** [is_in s c] is [true] iff [c] is in [s]. *)

val token_chars : set
(** [token_chars] is the characters of method and field names. *)

val space_chars : set
(** [space_chars] is the white space within lines: spaces and tabs. *)

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

val is_taken_for : string -> string -> bool
(** [is_taken_for a b] is [true] iff a peer may take the name [a] for [b]: some take an underscore
    for a hyphen, and what they believe of one name, they do of both. *)

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

val end_of : set -> string -> int -> int -> int
(** [end_of set s i length] is the index of the first character in [i … length - 1] of [s] that
    isn't in [set], or [length]. *)

val escaped : string -> string
(** [escaped s] is [s] in printable ASCII, as in a quoted string: quotes and backslashes behind a
    backslash, and other bytes as [\xHH], as Apache has them in its logs. *)
