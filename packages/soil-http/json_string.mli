(** JSON texts. Private to [soil-http]. *)

val quoted : string -> string
(** [quoted s] is [s] as a string of {{:https://www.rfc-editor.org/rfc/rfc8259}RFC 8259}, with its
    quotes. Bytes that aren't UTF-8 become U+FFFD. *)
