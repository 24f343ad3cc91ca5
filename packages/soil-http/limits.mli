(** Limits of size and time for a peer's messages. Start from {!Server.default_limits} or
    {!Client.default_limits}: [{ Server.default_limits with body_bytes = 1 lsl 24 }].

    Beyond them a server responds with 414, 431, 413 or 408, and the connection ends, in HTTP/2 the
    stream alone; a client that sends or receives nothing gets no response. A {!module-Client}
    raises {!Client.Failed}. *)

type http2 = {
  streams : int;  (** Streams of a connection at a time; more are refused. *)
  streams_per_second : int;  (** Streams that a client may open; more wait. *)
  heads_bytes : int;
      (** The heads of all streams of a connection; streams beyond are refused, unless it is the
          only one. *)
  continuations : int;
      (** Frames of a head after its first. Of a head beyond it, or beyond twice [head_bytes]
          compressed, only the table is kept, and each further frame is odd: 16 KiB count as 10. *)
  odd_frames : int;
      (** Frames that cost their receiver more than their sender: resets, also those that errors of
          the peer cause, [SETTINGS], [PING], priorities, windows that no data explains, and empty
          ones. A head or trailers beyond the limits count as 10. Beyond it the connection ends.
          Each response gives one back. *)
  odd_frames_per_second : int;  (** So many are given back in a second. *)
  window_bytes : int;
      (** Bytes of bodies that have come and wait for their reader, of all streams of a connection.
      *)
  stream_bytes : int;  (** Those of a stream. *)
  table_bytes : int;  (** The table of HPACK. *)
}
(** The type for limits of HTTP/2, for each connection. *)

type t = {
  line_bytes : int;
      (** A request line, status line or field of HTTP/1.1, without its line end. HTTP/2 has no
          lines: there only [head_bytes] counts. *)
  head_bytes : int;
      (** All lines of a head, with their line ends and the empty line. In HTTP/2 the names and
          values of all fields, also of pseudo-header fields, and 32 bytes for each
          ({{:https://www.rfc-editor.org/rfc/rfc9113#section-6.5.2}RFC 9113 §6.5.2}). *)
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
  http2 : http2;
}
