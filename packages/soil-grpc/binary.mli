(** Encodings of bytes in fields and bodies. Private to [soil-grpc]. *)

val encode : string -> string
(** [encode s] is [s] in base64 without padding, as fields have it. *)

val decode : string -> string option
(** [decode s] is the bytes of [s], base64 with or without padding. *)

val percent : string -> string
(** [percent s] is [s] with each byte percent-encoded that isn't printable ASCII, and with ["%"]. *)

val of_percent : string -> string
(** [of_percent s] decodes {!percent}. Malformed escapes stay as they are. *)
