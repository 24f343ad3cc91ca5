(** SHA-1 ({{:https://www.rfc-editor.org/rfc/rfc3174}RFC 3174}), for the handshake of WebSocket,
    whose security doesn't rest on it. Private to [soil.http].

    Debian's [digestif] has it too, but a program has to choose one of its implementations, and gets
    all hashes. *)

val digest : string -> string
(** [digest s] is the 20 bytes of the hash of [s]. *)
