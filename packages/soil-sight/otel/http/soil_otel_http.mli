(** Traces of HTTP requests, for {!Soil_otel}.

    Spans have the attributes of OpenTelemetry's
    {{:https://opentelemetry.io/docs/specs/semconv/http/http-spans/}conventions for HTTP}. Queries
    of URIs aren't sent: they may be secret. *)

val middleware :
  ?accept:(Soil_http.Server.request -> bool) -> ?scheme:string -> unit -> Soil_http.Middleware.t
(** [middleware ()] has a span for each request, from the middleware to the end of the response,
    also of a stream. Its name is the method and {!Soil_http.Server.Request.route}. It is
    {!Soil_otel.current} for the handler, but not for the function of a
    {!Soil_http.Server.val-stream}, which can take it along: {!Soil_otel.within}. Make it the
    outermost middleware.

    If [accept request] (default: never), as for those of trusted proxies, the span's parent, and
    whether it is recorded, are those of the request's [traceparent]. Otherwise it is the first span
    of a new trace, with a link to that: strangers could make the program record each of their
    requests. [scheme] (default: ["http"]) is the clients'. *)

val proxy_fields : Soil_http.Server.request -> (string * string option) list
(** [proxy_fields] is for [fields] of {!Soil_http.Proxy.create}: backends get the {!middleware}'s
    span as their parent. *)

(** Requests of clients, as those of {!Soil_http.Client}, with a span for each and its
    [traceparent]. A status of 400 or more is an error. *)
module Client : sig
  val get : ?headers:Cohttp.Header.t -> Soil_http.Client.t -> Uri.t -> Cohttp.Response.t * string

  val post :
    ?headers:Cohttp.Header.t ->
    Soil_http.Client.t ->
    Uri.t ->
    Soil_http.Client.body ->
    Cohttp.Response.t * string

  val request :
    ?headers:Cohttp.Header.t ->
    ?body:Soil_http.Client.body ->
    ?on_interim:(Cohttp.Code.status_code -> Cohttp.Header.t -> unit) ->
    ?on_trailers:(Cohttp.Header.t -> unit) ->
    Soil_http.Client.t ->
    Cohttp.Code.meth ->
    Uri.t ->
    (Cohttp.Response.t -> Soil.Flow.source -> 'a) ->
    'a
  (** Its span ends with the function for the response. *)

  val open_ :
    ?headers:Cohttp.Header.t ->
    ?body:Soil_http.Client.body ->
    ?patient:bool ->
    ?on_interim:(Cohttp.Code.status_code -> Cohttp.Header.t -> unit) ->
    ?on_trailers:(Cohttp.Header.t -> unit) ->
    Soil.Task.scope ->
    Soil_http.Client.t ->
    Cohttp.Code.meth ->
    Uri.t ->
    Cohttp.Response.t * Soil.Flow.source
  (** Its span ends with the scope. *)
end
