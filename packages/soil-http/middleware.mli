(** Wrappers of handlers.

    {[
      let app =
        Middleware.all
          [
            Middleware.request_id ();
            Middleware.security ();
            Middleware.observe (fun request response seconds -> …);
            Middleware.cors ~origins:(Only [ "https://app.example.com" ]) ();
            Middleware.timeout 10.;
          ]
          (Router.router routes)

      let () = Soil.run @@ fun () -> Server.serve (Soil.Tcp.listen ~port:80 ()) app
    ]}

    A middleware may respond itself, without the handler inside it; change its response
    ({!Server.Response}); leave values for it ({!Server.Request}); and catch its exceptions. What is
    to hold for each response, also for the 500 of an exception, it adds by
    {!Server.Request.map_response}, as those here do.

    {!Limit.handler} and {!Encoding.handler} with their first arguments are middlewares, too. *)

type handler = Server.request -> Server.response
(** The type for handlers. *)

type t = handler -> handler
(** The type for middlewares. *)

val all : t list -> t
(** [all l] is the middlewares of [l] together; the first one is the outermost. *)

val only : (Server.request -> bool) -> t -> t
(** [only is m] is [m] for requests of which [is] holds; others go straight to the handler. *)

(** {1:observation Observation} *)

val request_id : ?header:string -> ?accept:(Server.request -> bool) -> unit -> t
(** [request_id ()] sends {!Server.Request.id} in the field [header] (default: ["x-request-id"]). If
    [accept request] (default: never), as for those of trusted proxies, the id is the request's own
    field [header], if that has 1 to 128 characters of [A-Z a-z 0-9 . _ -]. *)

val observe : (Server.request -> Server.response -> float -> unit) -> t
(** [observe f] calls [f request response seconds] for each response before it is sent, also for
    those of exceptions, with the time since the middleware was entered: for metrics by
    {!Server.Request.route} and status. For bytes and the time of sending see [log] of
    {!Server.serve}. *)

(** {1:errors Errors and limits} *)

val errors : (Server.Error.t -> Server.response) -> t
(** [errors show] is {!Server.Request.set_error}, for a part of an application. *)

val max_body : int -> t
(** [max_body bytes] is {!Server.Request.set_max_body}. *)

val timeout : float -> t
(** [timeout seconds] cancels a handler that takes longer, and responds with 503. The time in which
    a stream is sent doesn't count. Raises [Invalid_argument] unless [seconds] is positive. *)

val shed : ?seconds:float -> ?places:int -> unit -> t
(** [shed ()] responds with 503 and [Retry-After] to a request that has waited for more than
    [seconds] (default: 0.5) before its handler could begin: in a turn of all tasks that are ready,
    and for one of [places] (default: no limit) for handlers at a time. So a server with too much
    work does some of it in time, instead of all of it too late. Raises [Invalid_argument] unless
    both are positive. *)

(** {1:browsers Browsers} *)

val security : ?hsts:float -> ?csp:string -> ?frames:bool -> ?referrer:string -> unit -> t
(** [security ()] adds the fields by which browsers protect a site, unless the handler has set them:

    - [X-Content-Type-Options: nosniff];
    - [X-Frame-Options: DENY], unless [frames] (default: [false]);
    - [Referrer-Policy: referrer] (default: ["strict-origin-when-cross-origin"]);
    - [Cross-Origin-Opener-Policy: same-origin];
    - with [csp], [Content-Security-Policy: csp];
    - with [hsts], [Strict-Transport-Security: max-age=hsts], in seconds. Use it with TLS only:
      browsers refuse plain HTTP for so long. *)

(** The type for origins of pages that may use a server by scripts. *)
type origins =
  | Any
  | Only of string list  (** Such as ["https://app.example.com"]. *)
  | Where of (string -> bool)

val cors :
  ?methods:Cohttp.Code.meth list ->
  ?headers:string list ->
  ?expose:string list ->
  ?credentials:bool ->
  ?max_age:float ->
  origins:origins ->
  unit ->
  t
(** [cors ~origins ()] lets pages of other origins use the handler, by
    {{:https://fetch.spec.whatwg.org/#http-cors-protocol}the Fetch standard}.

    - It responds to preflight requests (204) with [methods] (default: GET, HEAD, POST, PUT, PATCH,
      DELETE), [headers] (default: [content-type] and [authorization]) and [max_age] in seconds
      (default: 600), without the handler.
    - Responses to others get [Access-Control-Allow-Origin], and list the fields [expose] (default:
      none) that scripts may read.
    - [credentials] (default: [false]) also allows requests with cookies. Raises [Invalid_argument]
      with [Any]: every page could then act as its visitor.
    - Responses depend on the origin, and say so by [Vary]; not with [Any].

    Other origins get responses without these fields, which browsers keep from scripts. The requests
    are handled nevertheless: against forged ones see {!Csrf}. *)

(** {1:caches Caches} *)

val conditional : t
(** [conditional] gives responses to [GET] and [HEAD] with status 200 and a string as body an
    [ETag], a hash of the body, unless there is one, and responds with 304 to [If-None-Match] and
    with 412 to [If-Match] as {{:https://www.rfc-editor.org/rfc/rfc9110#section-13}RFC 9110 §13}
    says. The handler runs each time: what is saved is the transfer. {!Files} does it by itself. *)

val cache : string -> t
(** [cache directives] sets [Cache-Control: directives] in responses with a status below 400 that
    have none. *)
