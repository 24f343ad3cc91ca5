(** A reverse proxy: passes requests to backends, and their responses to the clients.

    {[
      Soil.Task.scope @@ fun scope ->
      let backends =
        [ Uri.of_string "http://10.0.0.7:8080"; Uri.of_string "http://10.0.0.8:8080" ]
      in
      let health = { Proxy.path = "/health"; interval = 2.; fall = 2; rise = 2 } in
      let proxy = Proxy.create ~health scope backends in
      Server.serve listener (Proxy.handle proxy)
    ]}

    Both bodies are passed on as they come: each side is read as fast as the other one takes it. A
    request takes a place of a backend when all of its body, or the first 16 KiB, have come (but for
    [eager]), and returns it when the response has come from the backend, or the client is too slow.
    A request is parsed and written again, so that a backend gets only what {!Server} accepts, with
    a length of its own. An upgrade to WebSocket is passed on if the backend agrees; others aren't,
    as requests inside another protocol would get to a backend unchecked.

    {b Versions.} The clients' is that of {!Server.serve}, the backends' that of [http2]. Interim
    responses such as 103 and trailers are passed on. A call of gRPC ([application/grpc]) is passed
    on piece by piece in both directions, and may be silent for [tunnel_seconds].

    {b Fields.} Those of one connection
    ({{:https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1}RFC 9110 §7.6.1}) are left out both
    ways. [Host] stays. The client's address is added to [X-Forwarded-For] and [Forwarded]
    ({{:https://www.rfc-editor.org/rfc/rfc7239}RFC 7239}), whose earlier parts a client can invent.
    [X-Forwarded-Proto] and [X-Forwarded-Host] are replaced, [X-Real-IP] is left out, and so are all
    these names with underscores. [Via] is extended. An earlier part with an open quote or comment
    is left out: it would hide what is added.

    {b Paths} are passed on unchanged. If a backend's URI has a path, a request with a segment [..]
    gets 400, also if it is escaped, once or twice, or has parameters ([..;x]): no request leaves
    that path. [TRACE] and [TRACK] get 501.

    {b Failures.} A request whose backend fails before it responds goes to another backend, if
    nothing was sent or if its method is idempotent and its body small. Otherwise the client gets
    502 or, after a timeout, 504, or 408 if it didn't send its body. If the body of a response is
    cut, the client's connection ends, so that the client detects it. Without a backend that is up,
    or with each of them at its limit, the client gets 503; beyond its own limit it gets 429. *)

type t

type health = { path : string; interval : float; fall : int; rise : int }
(** The type for health checks: a [GET] of [path] every [interval] seconds, which has as long. After
    [fall] failures in a row a backend is {!Down}, after [rise] responses with 2xx or 3xx {!Up}. *)

val create :
  ?limits:Limits.t ->
  ?connect_seconds:float ->
  ?connect:(host:string -> port:int -> [> `Read | `Write | `Shutdown ] Soil.File_descriptor.t) ->
  ?tls:
    (host:string ->
    Soil.File_descriptor.flow ->
    [> `Read | `Write | `Shutdown ] Soil.File_descriptor.t) ->
  ?http2:Client.http2 ->
  ?max_requests:int ->
  ?max_client_requests:int ->
  ?max_tunnels:int ->
  ?max_client_tunnels:int ->
  ?client:(Server.request -> string option) ->
  ?max_body:int ->
  ?wait_seconds:float ->
  ?stall_seconds:float ->
  ?eager:bool ->
  ?retries:int ->
  ?max_failures:int ->
  ?avoid_seconds:float ->
  ?tunnel_seconds:float ->
  ?health:health ->
  ?name:string ->
  ?scheme:string ->
  ?fields:(Server.request -> (string * string option) list) ->
  ?on_failure:(Uri.t -> string -> unit) ->
  Soil.Task.scope ->
  Uri.t list ->
  t
(** [create scope uris] is a proxy for the backends [uris], whose paths go before that of a request.
    Its connections and health checks end with [scope].

    - [limits], [connect_seconds] (default: 5), [connect], [tls] and [http2] are those of
      {!Client.create}. Of a response's body each piece may take [body_seconds], all of it as long
      as it wants.
    - A backend has at most [max_requests] (default: 100) at a time, and a client has at most
      [max_client_requests] (default: half of that) at all backends. A further request waits for
      [wait_seconds] (default: 1).
    - There are at most [max_tunnels] (default: 1000) upgraded connections, of which a client has at
      most [max_client_tunnels] (default: a tenth of that). They don't count as requests. One ends
      after [tunnel_seconds] (default: 600) without a byte.
    - [client request] is the client that these limits are for, or [None] if they aren't (default:
      {!Limit.key_of_address} of {!Server.endpoint}). Behind another proxy:
      [~client:(fun r -> Option.map Limit.key_of_address (Forwarded.address proxies r))].
    - A client that doesn't send for [stall_seconds] (default: 10) in the middle of a body gets 408.
      One that takes less than 16 KiB of a response in that time, while more is to come from the
      backend, loses its connection.
    - With [eager] (default: [false]) a request goes to a backend as soon as its head has come, so
      that a client that waits for the answer before it sends the body gets one, such as 401. The
      backend is asked for its [100 Continue] if the client waits for that. Each client that sends
      slowly has a place of a backend meanwhile, and no request with a body is tried again.
    - A request's body has at most [max_body] bytes (default: that of the server's limits).
    - A request is tried on [retries] (default: 1) further backends.
    - After [max_failures] (default: 3) failures in a row a backend is {!Failing} for
      [avoid_seconds] (default: 10).
    - [name] (default: ["soil"]) is this proxy in [Via], [scheme] (default: ["http"]) the clients'.
    - [fields request] (default: none) is fields for the backend, in place of the request's own with
      their names; with [None] the backend gets none. They aren't those that the proxy writes
      itself. [Soil_otel_http.proxy_fields] traces requests.
    - [on_failure uri reason] is called for each failure of a backend, and when a health check
      changes its state. By default it prints a line on standard error.

    Raises {!Client.Failed} for a URI that can't be connected to, and [Invalid_argument] for a
    number out of range, or a [name] or [scheme] that isn't a token. *)

val handle : t -> Server.request -> Server.response
(** [handle t] is a handler for {!Server.serve}. *)

(** {1:backends Backends} *)

(** The type for states of a backend. *)
type state =
  | Up
  | Failing  (** Gets requests only if none is up. *)
  | Down  (** By its health checks. *)
  | Draining

val backends : t -> (Uri.t * state * int) list
(** [backends t] is the backends, their states, and the numbers of their current requests and
    tunnels. *)

val add : t -> Uri.t -> unit
(** [add t uri] adds a backend, or ends its draining. Raises as {!create}. *)

val drain : t -> Uri.t -> unit
(** [drain t uri] gives this backend no more requests, waits for the end of those that it has, and
    removes it. {!add} during that keeps it, and ends the wait. *)
