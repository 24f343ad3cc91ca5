(** SHA-1 ({{:https://www.rfc-editor.org/rfc/rfc3174}RFC 3174}), for the WebSocket handshake, whose
    security doesn't depend on it. Private to [soil-http].

    Debian's [digestif] has it too, but requires programs to choose an implementation, and links all
    hashes. *)

val digest : string -> string
(** [digest s] is the 20 bytes of the hash of [s]. *)

val accept_key : string -> string
(** [accept_key key] is a server's response to the [key] of a WebSocket client (RFC 6455 §4.2.2). *)
