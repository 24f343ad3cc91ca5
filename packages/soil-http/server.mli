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

    A connection's requests are handled sequentially; clients may pipeline. A handler runs in the
    connection's task and may wait. *)

(** {1:requests Requests} *)

type request = Server_request.request
(** The type for requests. A request is valid until its response has been sent. *)

val head : request -> Cohttp.Request.t
(** [head r] is the request line and the fields. The resource begins with ["/"], or is ["*"]: for an
    absolute target ([http://host/path]) it is the path, and the field [host] is the target's. *)

val meth : request -> Cohttp.Code.meth
(** [meth r] is the method. *)

val path : request -> string
(** [path r] is the resource before ["?"], with escapes ([%20]) not decoded. *)

val query : request -> (string * string list) list
(** [query r] is the decoded parameters after ["?"], as in {!Uri.query}. *)

val header : request -> string -> string option
(** [header r name] is the value of the field [name], the last one if there are several. *)

val peer : request -> string
(** [peer r] is the client: its endpoint for {!serve}; for others see {!connection}. *)

val endpoint : request -> Soil.Net.Endpoint.t option
(** [endpoint r] is the client's address and port; [None] if {!connection} wasn't given any. *)

val scope : request -> Soil.Task.scope
(** [scope r] is a scope for what the response needs: a task, a file, the response of another server
    ({!Client.open_}). It ends after the response, in whatever way that ends, and before the next
    request. If it fails before the response has begun, the client gets a 500.

    {[
      let handler request =
        let uri = Uri.of_string ("http://10.0.0.7" ^ Server.path request) in
        let response, body = Client.open_ (Server.scope request) client `GET uri in
        Server.stream ~status:response.status (fun sink ->
            ignore (Soil.File_descriptor.copy ~src:body ~dst:sink ()))
    ]} *)

val body : ?max:int -> ?patient:bool -> request -> Soil.Flow.source
(** [body r] is the body as a stream, for {!Soil.File_descriptor.copy}, {!Soil.Reader}… The first
    read sends [100 Continue] to a client that expects it. Reading raises {!Refused}, which the
    handler needn't catch, with

    - [`Request_entity_too_large] if there are more than [max] bytes (default: [body_bytes] of
      {!type-limits}); [body] itself raises it if the declared length is larger;
    - [`Request_timeout] if it arrives too slowly;
    - [`Bad_request] if it is malformed or incomplete.

    If [patient] (default: [false]), the body may arrive as slowly as the client likes: for calls
    that both ends keep open.

    An unread rest is discarded if it is short; otherwise the connection ends. *)

val body_string : ?max:int -> request -> string
(** [body_string r] is the whole body. Waits, and raises as {!val-body}. *)

exception Refused of Cohttp.Code.status_code
(** Raised by a handler to respond with {!error}: [raise (Refused `Forbidden)]. Once the response
    has begun, it ends the connection, or the stream of HTTP/2. *)

val is_draining : request -> bool
(** [is_draining r] is [true] once {!serve} was cancelled: a readiness probe then fails, so that
    load balancers send no more clients ([lame_duck] of {!serve}). *)

(** {1:responses Responses}

    [headers] (default: none) follow the date. The server sets the fields for length, transfer
    coding and connection, and ignores them in [headers], except [connection: close], which ends the
    connection. A field with a line break raises [Invalid_argument] when the response is sent. The
    response to [HEAD] has the head only. *)

type response = Response.t
(** The type for responses. *)

val string : ?status:Cohttp.Code.status_code -> ?headers:Cohttp.Header.t -> string -> response
(** [string s] has the body [s]. [status] defaults to [`OK]. *)

val buffer :
  ?status:Cohttp.Code.status_code ->
  ?headers:Cohttp.Header.t ->
  Soil.File_descriptor.buffer ->
  response
(** [buffer b] has the body [b], which isn't copied and must not change until it has been sent. *)

(** The type for what became of the body of a {!stream}. *)
type ending =
  | Sent  (** All of it was written. *)
  | Cut  (** The client went away or was too slow, the function raised, or [serve] ended. *)
  | Unneeded  (** Only the head was sent: to [HEAD], or with a status such as 304. *)
  | Not_begun  (** Not even the head was sent. *)

val stream :
  ?status:Cohttp.Code.status_code ->
  ?headers:Cohttp.Header.t ->
  ?length:int ->
  ?trailers:(unit -> Cohttp.Header.t) ->
  ?on_end:(ending -> unit) ->
  (Soil.Flow.sink -> unit) ->
  response
(** [stream write] has the body that [write sink] writes to [sink], after the head has been sent;
    writes aren't buffered, {!Soil.Writer.with_} combines small ones. The body is chunked, or
    delimited by the connection's end for HTTP/1.0 clients; with [length] it has a [Content-Length],
    and writing more or less raises [Failure]. If [write] raises, the connection ends, so that the
    client detects the truncation. [write] may read the request's body.

    [trailers ()] is called when [write] has returned; its fields are sent after the body, to an
    HTTP/1.1 client only if it accepts them ([TE: trailers]) and there is no [length].

    [on_end] is called once with the end of the body, if the handler returned this response. It may
    wait; a cancellation has no effect on it. When [serve] is cancelled, [write] continues for its
    [grace], and is cancelled then. *)

val status : ?headers:Cohttp.Header.t -> Cohttp.Code.status_code -> response
(** [status s] has [s] and its reason phrase as the body, if [s] allows a body. *)

val redirect : ?status:Cohttp.Code.redirection_status -> string -> response
(** [redirect target] redirects the client to [target]; [status] defaults to [`See_other]. *)

val upgrade : ?headers:Cohttp.Header.t -> string -> (Soil.Flow.t -> unit) -> response
(** [upgrade protocol f] switches to [protocol] (status 101) and runs [f flow], after which the
    connection ends. [flow] has no timeouts. Only for requests that ask for an upgrade; for
    WebSocket see {!Websocket.accept}. *)

val early_hints : request -> Cohttp.Header.t -> unit
(** [early_hints r headers] sends [headers], such as [Link]s to preload, in an interim response
    ({{:https://www.rfc-editor.org/rfc/rfc8297}RFC 8297}, status 103) before the handler has its
    own. Does nothing for HTTP/1.0. Waits. *)

(** {1:serving Serving} *)

(** What a middleware sees and changes of a response. *)
module Response : sig
  type t = response

  val status : t -> Cohttp.Code.status_code
  val with_status : Cohttp.Code.status_code -> t -> t

  val headers : t -> Cohttp.Header.t
  (** [headers r] is the fields that the handler has set, without those of the connection. *)

  val header : t -> string -> string option
  (** [header r name] is the value of the field [name], the last one if there are several. *)

  val with_headers : Cohttp.Header.t -> t -> t

  val add_header : string -> string -> t -> t
  (** [add_header name value r] is [r] with one field more. *)

  val set_header : string -> string -> t -> t
  (** [set_header name value r] is [r] with this field in place of all fields [name]. *)

  val set_default : string -> string -> t -> t
  (** [set_default name value r] is [r] if it has a field [name], or {!set_header}. *)

  val remove_header : string -> t -> t

  val length : t -> int option
  (** [length r] is the length of the body in bytes, if it is known before the body is sent. *)

  val map_body :
    string:(string -> string) ->
    stream:((Soil.Flow.sink -> unit) -> Soil.Flow.sink -> unit) ->
    t ->
    t
  (** [map_body ~string ~stream r] is [r] with another body of the same kind: [string s] for the
      body [s], also of {!buffer}; for a {!val-stream} or one of {!Files}, [stream write] writes in
      place of [write], and the length is no longer known. Bodies of {!upgrade} and empty ones stay
      as they are. *)
end

(** {1:errors Errors} *)

(** Errors that the library responds with, and handlers by {!val-error}. *)
module Error : sig
  type t = {
    status : Cohttp.Code.status_code;  (** 400 or more. *)
    detail : string option;  (** What is wrong, for the client. *)
    headers : Cohttp.Header.t;  (** What belongs to the status: [Allow], [Retry-After], … *)
    cause : exn option;  (** The exception of the handler. Not for the client. *)
    request : request option;  (** [None] if its head couldn't be read. *)
  }
  (** The type for errors. *)

  val text : t -> response
  (** [text e] is status, reason phrase and detail as a line of text. *)

  val problem : t -> response
  (** [problem e] is an object of JSON with [title], [status] and [detail], of type
      [application/problem+json] ({{:https://www.rfc-editor.org/rfc/rfc9457}RFC 9457}). *)
end

val error :
  ?headers:Cohttp.Header.t ->
  ?detail:string ->
  ?cause:exn ->
  ?default:(Error.t -> response) ->
  request ->
  Cohttp.Code.status_code ->
  response
(** [error request status] is the response for this error by the function [error] of {!serve} or
    {!Request.set_error}, without these by [default] (default: {!Error.text}). An exception of that
    function gives {!Error.text}. *)

(** {1:request_scope Values of a request} *)

(** What middlewares, routers and handlers know of a request. *)
module Request : sig
  type t = request

  type 'a key
  (** The type for keys of values of type ['a]. *)

  val key : unit -> 'a key
  (** [key ()] is a new key. Make it once, at the top of a module. *)

  val find : t -> 'a key -> 'a option
  (** [find r key] is the value of [key]. *)

  val set : t -> 'a key -> 'a -> unit
  (** [set r key v] makes [v] the value of [key], for as long as [r] is valid. *)

  val route : t -> string option
  (** [route r] is the pattern of {!Router} that matched, with those of its scopes: ["/users/:id"].
      [None] before the router has run, or if nothing matched. *)

  val set_route : t -> string -> unit
  (** [set_route r pattern] is for other routers. *)

  val id : t -> string
  (** [id r] is an identifier: 32 random hexadecimal digits, unless {!set_id} has set another. Made
      when it is first asked for. *)

  val current_id : unit -> string option
  (** [current_id ()] is {!id} of the request for which this task works: that of a handler, or one
      that it has spawned. The log lines of [soil-sight.logs] have it. [None] elsewhere. *)

  val set_id : t -> string -> unit
  (** [set_id r id] raises [Invalid_argument] if [id] can't be the value of a field. *)

  val set_max_body : t -> int -> unit
  (** [set_max_body r bytes] is the limit of {!val-body} from now on, where that has no [max]. *)

  val map_response : t -> (response -> response) -> unit
  (** [map_response r f] sends [f response] in place of the response to [r], also of one that the
      library makes for an exception of the handler. Functions of later calls are applied to the
      results of earlier ones. *)

  val set_error : t -> (Error.t -> response) -> unit
  (** [set_error r show] shows the errors of [r] by [show] from now on. *)
end

(** {1:limits Limits} *)

type limits = Limits.t
(** The type for limits. *)

val default_limits : limits
(** [default_limits] is 8 KiB for a line, 16 KiB and 100 fields for a head, 1 MiB for a body; 30 s
    until a request, 10 s for its head, 20 s and 500 bytes per second for a body, 30 s to write. *)

type http2 = Server_request.http2
(** The type for HTTP/2 in a server: {!Http2.server}. *)

type entry = {
  peer : string;
  endpoint : Soil.Net.Endpoint.t option;
  request : Cohttp.Request.t option;  (** [None] if it couldn't be parsed. *)
  route : string option;  (** As {!Request.route}. *)
  id : string option;  (** {!Request.id}; [None] without a request. *)
  status : Cohttp.Code.status_code;  (** 499 if the client left before its response. *)
  bytes : int;  (** Bytes sent, including the head. *)
  body_bytes : int;  (** Bytes sent of the body. *)
  started : float;  (** When the head was received, in seconds since 1970-01-01 00:00 UTC. *)
  seconds : float;  (** From the head to the end of the response. *)
}
(** The type for entries of an access log, one for each response. *)

val request_line : entry -> string
(** [request_line e] is method, resource and version, or ["-"]. *)

val entry_to_string : entry -> string
(** [entry_to_string e] is one line: time of day, and {!entry_text} with the identifier.
    {!Access_log} has the standard formats. *)

val entry_text : entry -> string
(** [entry_text e] is peer, request line, status, bytes and milliseconds: for loggers that add the
    time, and the identifier. *)

val serve :
  ?limits:limits ->
  ?log:(entry -> unit) ->
  ?max_connections:int ->
  ?lame_duck:float ->
  ?grace:float ->
  ?error:(Error.t -> response) ->
  ?http2:http2 ->
  ?on_disconnect:[ `Cancel | `Finish ] ->
  ?on_error:(Soil.Tcp.connection -> exn -> unit) ->
  ?client:(Soil.Tcp.connection -> Soil.Net.Endpoint.t) ->
  ?secure:(Soil.Tcp.connection -> [> `Read | `Write | `Shutdown ] Soil.File_descriptor.t) ->
  [> `Listener ] Soil.File_descriptor.t ->
  (request -> response) ->
  unit
(** [serve listener handler] handles the requests of all clients, each connection in its own task,
    like {!Soil.Tcp.serve}, with the same [max_connections], [grace] and [on_error]. In several
    domains, by {!Soil.Domain.each}, they call [handler], [log] and the other functions at the same
    time.

    - [error] shows the errors of the library and of {!val-error} (default: {!Error.text}): 404 and
      405 of {!Router}, 429 of {!Limit}, 400 of a malformed request, 500 of an exception, …
    - [on_disconnect] says what becomes of the handler, or of a stream, of a client that has left:
      [`Cancel] (the default) cancels it, within a second, as soon as the request's body has been
      read; [`Finish] lets it end. A client that ends its sending side alone counts as one that has
      left, as for nginx and Go. {!Soil.Task.protect} finishes a part of a handler.
    - [http2] ({!Http2.server}[ ()]; default: none) serves the connections that begin with the
      preface of HTTP/2, with the same handlers: those with prior knowledge, and over TLS those that
      have chosen [h2] by ALPN. Their streams are handled concurrently. A handler is cancelled as
      soon as its stream is reset.
    - An exception of [handler] responds with 500 (503 for [Out_of_memory]), ends the connection,
      and is passed to [on_error], which by default prints it with the request's identifier, peer,
      method and path: on standard error, or by {!on_exception}.
    - [log] gets an entry for each response. [Soil_http_logs.access] writes them to [Logs].
    - [client] is the client of a new connection, for {!val-peer}, {!val-endpoint} and [log], before
      [secure]; by default the connection's peer. With
      [Soil.Proxy_protocol.client ~trusted:networks] proxies in these networks say whose connection
      it is. Its exception ends the connection and is passed to [on_error].
    - [secure] starts a session over a new connection: [Soil_tls.server config]. Its limit is
      [head_seconds] of [limits]. Its exception, or {!Soil.exception-Error} with [Timed_out] after
      the limit, ends the connection and is passed to [on_error].
    - When [serve] is cancelled, it closes [listener], so that new clients are refused, and idle
      connections end at once. The others get their response, with [connection: close], within
      [grace] seconds. With [lame_duck] (default: 0) all that begins so many seconds later;
      meanwhile new clients are served, {!is_draining} is [true], and responses have
      [connection: close]. *)

val on_exception : ((unit -> string) -> exn -> Printexc.raw_backtrace -> unit) -> unit
(** [on_exception report] makes every {!serve} without [on_error] call [report what e backtrace] for
    an exception [e] of its handler, where [what ()] is the beginning of a line, such as
    ["http 10.0.0.9:4242 GET /path: exception "]; for [Out_of_memory] it also has the sizes of the
    heap and the budget. {!Request.current_id} is the request's. Exceptions of [report] are ignored.
    The library [soil-http.logs] sets it to write to [Logs]. *)

val print_exception : (unit -> string) -> exn -> Printexc.raw_backtrace -> unit
(** [print_exception] is the default of {!on_exception}: it prints {!Request.current_id} in
    brackets, and then [what ()], [e] and its backtrace, on standard error. *)

val report : request -> exn -> Printexc.raw_backtrace -> unit
(** [report r e backtrace] reports [e] likewise, for a handler that makes a response of an
    exception. *)

val connection :
  ?limits:limits ->
  ?log:(entry -> unit) ->
  ?peer:string ->
  ?endpoint:Soil.Net.Endpoint.t ->
  ?error:(Error.t -> response) ->
  ?http2:http2 ->
  ?on_disconnect:[ `Cancel | `Finish ] ->
  ?on_error:(exn -> unit) ->
  [> `Read | `Write | `Shutdown ] Soil.File_descriptor.t ->
  (request -> response) ->
  unit
(** [connection d handler] handles the requests on [d], any flow; it returns when the connection has
    ended, and doesn't close [d]. [on_error] gets each exception of [handler], after the response;
    without it [connection] raises the first one at its end. It also raises what [on_error] raises.
    [endpoint] is {!val-endpoint}, and [peer] {!val-peer} (default: [endpoint], or the name of [d]).
    {!Test} does all that for tests of handlers. *)
