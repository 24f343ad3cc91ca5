(** Limits of size and time for a peer's messages. Start from {!Server.default_limits} or
    {!Client.default_limits}: [{ Server.default_limits with body_bytes = 1 lsl 24 }].

    Beyond them a server responds with 414, 431, 413 or 408, and the connection ends; a client that
    sends or receives nothing gets no response. A {!module-Client} raises {!Client.Failed}. *)

type t = {
  line_bytes : int;  (** A request line, status line or field. *)
  head_bytes : int;  (** All of them. *)
  fields : int;  (** Number of fields. *)
  body_bytes : int;
      (** A body: in a server unless {!Server.val-body} has another limit, in a client for
          {!Client.get} and {!Client.post}. *)
  idle_seconds : float;
      (** In a server until the first byte of a request; in a client for an idle connection. *)
  head_seconds : float;
      (** In a server from the first byte of a request to the end of its head, and for a TLS
          handshake; in a client from the request to the head of the response, while the server
          accepts no more of the request. *)
  body_seconds : float;  (** For receiving a body, plus a second for each [body_rate] bytes. *)
  body_rate : int;  (** Bytes per second. *)
  write_seconds : float;  (** For sending 64 KiB. *)
}
