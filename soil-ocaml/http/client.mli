(** HTTP/1.1 clients: connections that are used again, redirects, TLS.

    {[
      module Client = Soil_http.Client

      let client = Client.create ~tls:(Soil_tls.client config) ()

      let () =
        Soil.run @@ fun () ->
        let response, page = Client.get client (Uri.of_string "https://example.com/") in
        if response.status = `OK then print_string page
    ]}

    A status such as 404 is a response like others. What is wrong with the connection raises
    {!Soil.exception-Error} as {!Soil.Tcp.connect_host} and TLS do, and what is wrong with the
    response {!Failed}. *)

type t
(** The type for clients: a pool of connections, for all tasks. *)

type limits = Limits.t
(** The type for limits. *)

val default_limits : limits
(** [default_limits] is 16 KiB for a line, 64 KiB and 200 fields for a head, 16 MiB for a body; 15 s
    for an unused connection, 60 s for a head, 60 s and 500 bytes per second for a body, 30 s to
    write. *)

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
  unit ->
  t
(** [create ()] is a client without connections.

    - Each host has at most [max_connections] (default: 16); requests wait for one.
    - At most [max_redirects] (default: 10) are followed for a request; with [0] a redirect is the
      response. 303 becomes a [GET], and so do 301 and 302 of a [POST]. To another host, scheme or
      port, [Authorization], [Cookie] and [Proxy-Authorization] aren't passed on, and from https to
      http none is followed ({!Failed}).
    - [connect] (default: {!Soil.Tcp.connect_host}) makes connections. It has [connect_seconds]
      (default: 30), together with the TLS handshake.
    - [tls] begins a session for [https]: [Soil_tls.client config]. Without it [https] fails, and
      the program has no TLS.

    Doesn't wait. Raises [Invalid_argument] if [max_connections < 1]. *)

val close : t -> unit
(** [close t] closes the connections that aren't in use. Those that are, and later ones, work as
    before. *)

val own : Soil.Task.scope -> t -> t
(** [own scope t] is [t], which is closed at the end of [scope], as {!Soil.File_descriptor.own} has
    it. *)

(** {1:requests Requests} *)

(** The type for bodies of requests. *)
type body =
  | Empty
  | String of string
  | Stream of int option * (Soil.Flow.sink -> unit)
      (** What the function writes, in chunks unless the length is given. It runs in a task of its
          own, so that the response may come meanwhile. *)

val get : ?headers:Cohttp.Header.t -> t -> Uri.t -> Cohttp.Response.t * string
(** [get t uri] is the response to a [GET], and its body. [headers] are sent beside those of the
    client ([host], [user-agent] unless given, and those about the body). A name and a password in
    [uri] are sent as [Authorization]. Waits. *)

val post : ?headers:Cohttp.Header.t -> t -> Uri.t -> body -> Cohttp.Response.t * string
(** [post t uri body] is likewise for [POST]. *)

val request :
  ?headers:Cohttp.Header.t ->
  ?body:body ->
  t ->
  Cohttp.Code.meth ->
  Uri.t ->
  (Cohttp.Response.t -> Soil.Flow.source -> 'a) ->
  'a
(** [request t meth uri f] is [f response source], where [source] is the body as it comes, for the
    length of the call. Reading it raises as this function does. If [f] hasn't read all of it, the
    connection may have to be closed. Waits.

    A request whose connection was used before, and turns out to be closed by the server without a
    response, is sent again on a new one, if the method is idempotent and the body isn't a stream. A
    redirect that needs the body of a stream again (307, 308) is the response. *)

val upgrade :
  ?headers:Cohttp.Header.t ->
  t ->
  protocol:string ->
  Uri.t ->
  (Cohttp.Response.t -> Soil.Flow.t -> 'a) ->
  'a
(** [upgrade t ~protocol uri f] asks for [protocol] in the place of HTTP, on a connection of its
    own, and is [f response flow] if the server agrees (101). [flow] has no limits of time, and is
    closed when [f] returns or raises. No redirect is followed. Waits. Raises {!Failed} with
    [Not_upgraded] if the server doesn't agree. *)

(** {1:errors Errors} *)

(** The type for what is wrong with a response. *)
type problem =
  | Malformed  (** It isn't HTTP, or beyond the limits of a head. *)
  | Truncated  (** The connection ended before the body. *)
  | Too_large  (** The body is longer than [body_bytes] of {!type-limits}. *)
  | Too_slow  (** A limit of time is over. *)
  | Too_many_redirects
  | Insecure_redirect  (** From https to http. *)
  | Not_supported  (** Neither http, nor https with [tls]; or no host. *)
  | Not_upgraded of Cohttp.Code.status_code  (** The answer to {!upgrade}. *)

exception Failed of Uri.t * problem
(** The request to this URI, the last one of the redirects, has failed. *)

val problem_to_string : problem -> string
(** [problem_to_string p] is one line. *)

(** {1:pool The pool} *)

val idle : t -> int
(** [idle t] is the number of connections that are open and unused. *)

val opened : t -> int
(** [opened t] is the number of connections that were made. *)
