(** The first message of a TLS client, read before a session begins: which protocols does it offer?
    ({{:https://www.rfc-editor.org/rfc/rfc8446#section-4.1.2}RFC 8446 §4.1.2}). *)

val receive : [> `Read ] Soil.File_descriptor.t -> string
(** [receive d] is the first bytes of [d]: the first record, or as many as show that it isn't a
    ClientHello, or longer than 4 KiB. Waits without a limit of time. *)

type t = { server_name : string option; protocols : string list }

val parse : string -> t option
(** [parse s] is the ClientHello in the record at the beginning of [s]. A CA's fits into a record.
*)
