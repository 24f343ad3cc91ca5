(** HTTP/1.1 servers ({{:https://www.rfc-editor.org/rfc/rfc9112}RFC 9112}).

    {[
      module Server = Soil_http.Server

      let () =
        Soil.run @@ fun () ->
        let listener = Soil.Tcp.listen ~port:80 () in
        Server.serve listener @@ fun request ->
        match (Server.meth request, Server.path request) with
        | `GET, "/" -> Server.string "hello\n"
        | `PUT, "/upper" -> Server.string (String.uppercase_ascii (Server.body_string request))
        | _ -> Server.status `Not_found
    ]}

    A connection's requests are answered one after the other, in order; clients may send the next
    before they have the answer. A handler runs in the connection's task and may wait. *)

(** {1:requests Requests} *)

type request
(** The type for requests. A request is valid until its response was sent. *)

val head : request -> Cohttp.Request.t
(** [head r] is the request line and the fields. The resource begins with ["/"], or is ["*"]: of an
    absolute target ([http://host/path]) it is the path, and the field [host] is the target's. *)

val meth : request -> Cohttp.Code.meth
(** [meth r] is the method. *)

val path : request -> string
(** [path r] is the resource before ["?"], as it was sent: escapes ([%20]) aren't decoded. *)

val query : request -> (string * string list) list
(** [query r] is the parameters behind ["?"], decoded, as {!Uri.query} has them. *)

val header : request -> string -> string option
(** [header r name] is the value of the field [name], the last one if there are several. *)

val peer : request -> string
(** [peer r] is the client: its endpoint for {!serve}, else the name of the flow. *)

val endpoint : request -> Soil.Net.Endpoint.t option
(** [endpoint r] is the client's address and port, [None] but for {!serve}. *)

val body : ?max:int -> request -> Soil.Flow.source
(** [body r] is the body, to be read as it comes: by {!Soil.File_descriptor.copy} to a file, by
    {!Soil.Reader}… A client that waits to be asked for it ([Expect: 100-continue]) is asked at the
    first read. Reading raises {!Refused}, which the handler needn't catch, with

    - [`Request_entity_too_large] if there are more than [max] bytes (default: [body_bytes] of
      {!type-limits}); [body] itself raises it if the client says so beforehand;
    - [`Request_timeout] if it comes too slowly;
    - [`Bad_request] if it is malformed, or ends before its end.

    What isn't read is discarded if it is short, and ends the connection if it isn't. *)

val body_string : ?max:int -> request -> string
(** [body_string r] is the whole body. Waits, and raises as {!val-body}. *)

exception Refused of Cohttp.Code.status_code
(** Raised by a handler to answer with {!status}: [raise (Refused `Forbidden)]. *)

(** {1:responses Responses}

    [headers] (default: none) come after the date. Length, coding, and whether the connection stays,
    are the server's: such fields are left out, but for [connection: close], which ends it. A field
    with a line break in it raises [Invalid_argument] when the response is sent. To [HEAD] the head
    alone is sent. *)

type response = Response.t
(** The type for responses. *)

val string : ?status:Cohttp.Code.status_code -> ?headers:Cohttp.Header.t -> string -> response
(** [string s] has the body [s]. [status] is [`OK] unless given. *)

val buffer :
  ?status:Cohttp.Code.status_code ->
  ?headers:Cohttp.Header.t ->
  Soil.File_descriptor.buffer ->
  response
(** [buffer b] has the body [b], which isn't copied and must not change until it was sent. *)

val stream :
  ?status:Cohttp.Code.status_code ->
  ?headers:Cohttp.Header.t ->
  ?length:int ->
  (Soil.Flow.sink -> unit) ->
  response
(** [stream write] has the body that [write sink] writes to [sink], once the head was sent; each
    write goes out as it is, and {!Soil.Writer.with_} collects small ones. The body is sent in
    chunks, or up to the connection's end to clients of HTTP/1.0; with [length] it is said
    beforehand, and writing more or less raises [Failure]. If [write] raises, the connection ends,
    so that the client knows that the body is cut. [write] may read the request's body. *)

val status : ?headers:Cohttp.Header.t -> Cohttp.Code.status_code -> response
(** [status s] says [s] in words, to people too; nothing with those that have no body. *)

val redirect : ?status:Cohttp.Code.redirection_status -> string -> response
(** [redirect target] sends the client to [target], by [`See_other] unless given. *)

val upgrade : ?headers:Cohttp.Header.t -> string -> (Soil.Flow.t -> unit) -> response
(** [upgrade protocol f] changes to [protocol] (status 101) and runs [f flow], after which the
    connection ends. [flow] has no limits of time. Only for requests that ask for it; for WebSocket
    see {!Websocket.accept}. *)

(** {1:serving Serving} *)

type limits = Limits.t
(** The type for limits. *)

val default_limits : limits
(** [default_limits] is 8 KiB for a line, 16 KiB and 100 fields for a head, 1 MiB for a body; 30 s
    until a request, 10 s for its head, 20 s and 500 bytes per second for a body, 30 s to write. *)

type entry = {
  peer : string;
  endpoint : Soil.Net.Endpoint.t option;
  request : Cohttp.Request.t option;  (** [None] if it couldn't be understood. *)
  status : Cohttp.Code.status_code;
  bytes : int;  (** What was sent, the head included. *)
  body_bytes : int;  (** Of these, those behind the head. *)
  started : float;  (** When the head had come, in seconds since 1970-01-01 00:00 UTC. *)
  seconds : float;  (** From the head to the end of the response. *)
}
(** The type for entries of an access log, one for each response. *)

val request_line : entry -> string
(** [request_line e] is method, resource and version, or ["-"]. *)

val entry_to_string : entry -> string
(** [entry_to_string e] is one line: time of day, peer, request line, status, bytes and
    milliseconds. {!Access_log} has the formats that other programs read. *)

val serve :
  ?limits:limits ->
  ?log:(entry -> unit) ->
  ?max_connections:int ->
  ?grace:float ->
  ?on_error:(Soil.Tcp.connection -> exn -> unit) ->
  ?secure:(Soil.Tcp.connection -> [> `Read | `Write | `Shutdown ] Soil.File_descriptor.t) ->
  [> `Listener ] Soil.File_descriptor.t ->
  (request -> response) ->
  unit
(** [serve listener handler] answers the requests of all clients, each connection in a task of its
    own, as {!Soil.Tcp.serve} does; [max_connections], [grace] and [on_error] are as there.

    - An exception of [handler] is answered with 500, ends the connection, and is then [on_error]'s,
      which unless given reports it with peer, method and path: on standard error, or as
      {!on_exception} says.
    - [log] gets an entry for each response. [Soil_http_logs.access] writes them to [Logs].
    - [secure] begins a session over a new connection: [Soil_tls.server config]. It has
      [head_seconds] of [limits]. What it raises ends the connection and is [on_error]'s, as is
      {!Soil.exception-Error} with [Timed_out] if it takes longer.
    - When [serve] is cancelled, connections without a request end at once. The others get their
      response, with [connection: close], for which they have [grace] seconds. *)

val on_exception : ((unit -> string) -> exn -> Printexc.raw_backtrace -> unit) -> unit
(** [on_exception report] has every {!serve} without [on_error] call [report what e backtrace] for
    an exception [e] of its handler, where [what ()] is the beginning of a line, such as
    ["http 10.0.0.9:4242 GET /path: exception "]. What [report] raises is dropped. The library
    [soil.http.logs] has it write to [Logs]. *)

val connection :
  ?limits:limits ->
  ?log:(entry -> unit) ->
  ?peer:string ->
  [> `Read | `Write | `Shutdown ] Soil.File_descriptor.t ->
  (request -> response) ->
  unit
(** [connection d handler] answers the requests that come by [d], any flow; it returns when the
    connection has ended, and doesn't close [d]. An exception of [handler] leaves it, after the
    answer. *)
