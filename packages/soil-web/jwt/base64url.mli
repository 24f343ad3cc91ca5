(** Base64url without padding (RFC 7515 §2), strictly: each string of bytes has one encoding.
    Private to [soil-web.jwt]. *)

val encode : string -> string

val without_padding : string -> string
(** [without_padding s] is [s] without padding to a length that 4 divides. *)

val decode : string -> string option
(** [decode s] is [None] if [s] has another character, padding, an impossible length, or bits that
    no byte uses. *)
