(** Words and lists of HTTP ({{:https://www.rfc-editor.org/rfc/rfc9110#section-5.6}RFC 9110 §5.6}).
    Private to [soil.http]. *)

val is_token_char : char -> bool
(** [is_token_char c] is [true] iff names of methods and fields may contain [c]. *)

val is_token : string -> bool
(** [is_token s] is [true] iff [s] isn't empty and has such characters only. *)

val is_value : string -> bool
(** [is_value s] is [true] iff [s] has no control characters but tabs, and so can be the value of a
    field. *)

val is_digits : string -> bool
(** [is_digits s] is [true] iff [s] is one digit or more. *)

val is_host : string -> bool
(** [is_host s] is [true] iff [s] can be a host with or without a port, as in the field [Host]. *)

val equal : string -> string -> bool
(** [equal a b] compares words without regard to case. *)

val elements : string -> string list
(** [elements s] is the elements of a list that commas separate, without the empty ones, white space
    removed. *)

val mem : Cohttp.Header.t -> string -> string -> bool
(** [mem headers name word] is [true] iff the list of the fields [name] has [word]. *)
