(** HTTP/2 ({{:https://www.rfc-editor.org/rfc/rfc9113}RFC 9113}) for {!Server}, {!Client} and
    {!Proxy}.

    {[
      let tls = Soil_tls.server_config ~protocols:[ "h2"; "http/1.1" ] certificates in
      Server.serve listener ~secure:(Soil_tls.server tls) ~http2:(Http2.server ()) handler
    ]}

    Handlers and calls are the same for both versions. Heads are those of HTTP/1.1: [:authority] is
    the field [host], the crumbs of cookies are one field, an extended [CONNECT] for WebSocket
    ({{:https://www.rfc-editor.org/rfc/rfc8441}RFC 8441}) is a request for an upgrade. Reading a
    body opens the window of its stream. Responses are sent by their urgency
    ({{:https://www.rfc-editor.org/rfc/rfc9218}RFC 9218}). Nothing is pushed.

    {b Limits} are in {!Limits.http2}. *)

val server : unit -> Server.http2
(** [server ()] serves HTTP/2 on connections that begin with its preface. *)
