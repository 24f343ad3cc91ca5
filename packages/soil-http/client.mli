(** Clients of HTTP/1.1 and HTTP/2: connection pools, redirects, TLS.

    {[
      module Client = Soil_http.Client

      let client = Client.create ~tls:(Soil_tls.client config) ()

      let () =
        Soil.run @@ fun () ->
        let response, page = Client.get client (Uri.of_string "https://example.com/") in
        if response.status = `OK then print_string page
    ]}

    A [+] in the path of a URI is sent as [%2B]: [Uri] reads both as [+], and some servers read [+]
    as a space. A status such as 404 is a normal response. Connection failures raise
    {!Soil.exception-Error} as in {!Soil.Tcp.connect_host} and TLS, invalid responses {!Failed}. *)

type t
(** The type for clients: a connection pool for all tasks. *)

type limits = Limits.t
(** The type for limits. *)

val default_limits : limits
(** [default_limits] is 16 KiB for a line, 64 KiB and 200 fields for a head, 16 MiB for a body; 15 s
    for an unused connection, 60 s for a head, 60 s and 500 bytes per second for a body, 30 s to
    write. *)

type http2 = Exchange.http2
(** The type for HTTP/2 in a client: {!Http2.client}. *)

val create :
  ?limits:limits ->
  ?connect_seconds:float ->
  ?max_connections:int ->
  ?max_redirects:int ->
  ?connect:(host:string -> port:int -> [> `Read | `Write | `Shutdown ] Soil.File_descriptor.t) ->
  ?tls:
    (host:string ->
    Soil.File_descriptor.flow ->
    [> `Read | `Write | `Shutdown ] Soil.File_descriptor.t) ->
  ?http2:http2 ->
  unit ->
  t
(** [create ()] is a client without connections.

    - Each host has at most [max_connections] (default: 16); requests wait for one.
    - A request follows at most [max_redirects] (default: 10); with [0] a redirect is the response.
      303 becomes a [GET], and so do 301 and 302 of a [POST]. [Authorization], [Cookie] and
      [Proxy-Authorization] aren't sent to another host, scheme or port, and a redirect from https
      to http isn't followed ({!Failed}).
    - [connect] (default: {!Soil.Tcp.connect_host}) opens connections. It has [connect_seconds]
      (default: 30), including the TLS handshake.
    - [http2] ({!Http2.client}[ ()]; default: none) uses HTTP/2 where the server has it. Requests to
      a host then share connections, of which there are at most [max_connections].
    - [tls] starts a session for [https]: [Soil_tls.client config]. Without it [https] fails, and no
      TLS is linked.

    Doesn't wait. Raises [Invalid_argument] if [max_connections < 1]. *)

val close : t -> unit
(** [close t] closes the idle connections. Others, and later ones, work as before. *)

val own : Soil.Task.scope -> t -> t
(** [own scope t] is [t], which is closed at the end of [scope], like {!Soil.File_descriptor.own}.
*)

(** {1:requests Requests} *)

(** The type for request bodies. *)
type body =
  | Empty
  | String of string
  | Stream of int option * (Soil.Flow.sink -> unit)
      (** The output of the function, chunked without a length. It runs in its own task,
          concurrently with the response. *)

val get : ?headers:Cohttp.Header.t -> t -> Uri.t -> Cohttp.Response.t * string
(** [get t uri] is the response to a [GET], and its body. [headers] are sent in addition to the
    client's ([host], [user-agent] unless given, and those about the body). A user name and a
    password in [uri] are sent as [Authorization]. Waits. *)

val post : ?headers:Cohttp.Header.t -> t -> Uri.t -> body -> Cohttp.Response.t * string
(** [post t uri body] is likewise for [POST]. *)

val request :
  ?headers:Cohttp.Header.t ->
  ?body:body ->
  ?on_interim:(Cohttp.Code.status_code -> Cohttp.Header.t -> unit) ->
  ?on_trailers:(Cohttp.Header.t -> unit) ->
  t ->
  Cohttp.Code.meth ->
  Uri.t ->
  (Cohttp.Response.t -> Soil.Flow.source -> 'a) ->
  'a
(** [request t meth uri f] is [f response source], where [source] streams the body during the call.
    Reading it raises as this function does. If [f] doesn't read all of it, the connection may have
    to be closed. Waits.

    [on_interim status headers] is called for each interim response ([`Early_hints]: 103),
    [on_trailers headers] with the fields after the body, if there are any, before the read that
    finds its end returns.

    If the server has closed a reused connection without a response, the request is resent on a new
    one, if the method is idempotent and the body isn't a stream. A redirect that needs a stream's
    body again (307, 308) is the response. *)

val open_ :
  ?headers:Cohttp.Header.t ->
  ?body:body ->
  ?patient:bool ->
  ?on_interim:(Cohttp.Code.status_code -> Cohttp.Header.t -> unit) ->
  ?on_trailers:(Cohttp.Header.t -> unit) ->
  Soil.Task.scope ->
  t ->
  Cohttp.Code.meth ->
  Uri.t ->
  Cohttp.Response.t * Soil.Flow.source
(** [open_ scope t meth uri] is the response to a request as in {!request}, and its body, a flow of
    [scope]: it can be read until [scope] ends. At the end of the body the connection is returned to
    the pool; if the flow is closed before, or [scope] ends, the connection is closed. The rest of a
    [Stream] isn't sent after either. If [patient] (default: [false]), the head and the body have no
    limit of time. Waits for the head only. *)

val upgrade :
  ?headers:Cohttp.Header.t ->
  t ->
  protocol:string ->
  Uri.t ->
  (Cohttp.Response.t -> Soil.Flow.t -> 'a) ->
  'a
(** [upgrade t ~protocol uri f] requests [protocol] instead of HTTP, on a separate connection, and
    is [f response flow] if the server agrees (101). [flow] has no timeouts, and is closed when [f]
    returns or raises. Redirects aren't followed. Waits. Raises {!Failed} with [Not_upgraded] if the
    server refuses. *)

(** {1:errors Errors} *)

(** The type for problems of a response. *)
type problem =
  | Malformed  (** It isn't HTTP. *)
  | Truncated  (** The connection ended before the body. *)
  | Too_large  (** The head, the body or the trailers exceed {!type-limits}. *)
  | Too_slow  (** A timeout expired. *)
  | Too_many_redirects
  | Insecure_redirect  (** From https to http. *)
  | Not_supported  (** Neither http, nor https with [tls]; or no host. *)
  | Not_upgraded of Cohttp.Code.status_code  (** The response to {!upgrade}. *)

exception Failed of Uri.t * problem
(** The request to this URI, the last one of the redirects, has failed. *)

val problem_to_string : problem -> string
(** [problem_to_string p] is one line. *)

(** {1:pool The pool} *)

val idle : t -> int
(** [idle t] is the number of idle connections. *)

val opened : t -> int
(** [opened t] is the number of connections opened so far. *)
