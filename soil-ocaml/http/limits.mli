(** Limits of what a peer may send, and how slowly: {!Server.default_limits} and
    {!Client.default_limits} are those to begin with, such as
    [{ Server.default_limits with body_bytes = 1 lsl 24 }].

    Beyond them a server answers 414, 431, 413 or 408, and the connection ends; a client that sends
    nothing, or takes nothing, gets no answer. A {!module-Client} raises {!Client.Failed}. *)

type t = {
  line_bytes : int;  (** A request line, status line or field. *)
  head_bytes : int;  (** All of them. *)
  fields : int;  (** Number of fields. *)
  body_bytes : int;
      (** A body: in a server unless {!Server.val-body} has another limit, in a client what
          {!Client.get} and {!Client.post} take. *)
  idle_seconds : float;
      (** In a server until the first byte of a request; in a client for an unused connection to be
          kept. *)
  head_seconds : float;
      (** In a server from the first byte of a request to the end of its head, and for a TLS
          handshake; in a client from the request to the head of the response, while the server
          takes no more of the request. *)
  body_seconds : float;
      (** For a body to come, with another second for each [body_rate] bytes of it. *)
  body_rate : int;  (** Bytes per second. *)
  write_seconds : float;  (** For the peer to take 64 KiB. *)
}
