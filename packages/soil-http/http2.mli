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

val client : ?protocol:(Soil.File_descriptor.flow -> string option) -> unit -> Client.http2
(** [client ()] uses HTTP/2 on all connections, without asking the server (prior knowledge). With
    [protocol], such as [Soil_tls.protocol], it is used on connections of [https] for which
    [protocol] is [Some "h2"], and HTTP/1.1 on the others. The requests to an origin share a
    connection, up to the number of streams that the server allows. *)
