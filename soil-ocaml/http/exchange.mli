(** One exchange of a client on a pooled connection, without redirects. Private to [soil.http];
    {!Client} documents what it offers of this. *)

module D = Soil.File_descriptor
module H = Cohttp.Header

type limits = Limits.t

val default_limits : limits

type body = Empty | String of string | Stream of int option * (Soil.Flow.sink -> unit)

type problem =
  | Malformed
  | Truncated
  | Too_large
  | Too_slow
  | Too_many_redirects
  | Insecure_redirect
  | Not_supported
  | Not_upgraded of Cohttp.Code.status_code

exception Failed of Uri.t * problem

val problem_to_string : problem -> string

(** {1:pools Pools} *)

type conn = private { input : Input.t; output : Output.t; mutable since : float }

type origin = { scheme : string; host : string; port : int }
(** The type for where a connection leads to. *)

type t = private {
  limits : limits;
  connect_seconds : float;
  max_connections : int;
  max_redirects : int;
  connect : host:string -> port:int -> D.flow;
  tls : (host:string -> D.flow -> D.flow) option;
  places : (origin, place) Hashtbl.t;
  mutable opened : int;
  mutable swept : float;
}

and place

val create :
  ?limits:limits ->
  ?connect_seconds:float ->
  ?max_connections:int ->
  ?max_redirects:int ->
  ?connect:(host:string -> port:int -> [> `Read | `Write | `Shutdown ] D.t) ->
  ?tls:(host:string -> D.flow -> [> `Read | `Write | `Shutdown ] D.t) ->
  unit ->
  t

val close : t -> unit
val own : Soil.Task.scope -> t -> t
val idle : t -> int
val opened : t -> int

(** {1:exchanges Exchanges} *)

val origin_of : t -> Uri.t -> origin
(** [origin_of t uri] raises {!Failed} with [Not_supported] if [t] can't connect to [uri]. *)

val host_field : origin -> string
(** [host_field o] is the value of the field [Host]. *)

val framing_fields : Cohttp.Code.meth -> body -> (string * string) list
(** [framing_fields meth body] is the fields about the length of the body. *)

val is_idempotent : Cohttp.Code.meth -> bool
(** [is_idempotent m] is [true] iff a request with [m] may be repeated (RFC 9110 §9.2.2). *)

type exchange = private {
  client : t;
  origin : origin;
  uri : Uri.t;  (** For {!Failed}. *)
  place : place;
  conn : conn;
  sending : sending;
  head : Head.response;
  content : Body.t;
  mutable is_finished : bool;
  held : exchange option ref;
}
(** The type for a response whose connection is in use until {!finish}. *)

and sending

val once :
  ?fresh:bool ->
  ?on_connected:(unit -> unit) ->
  Soil.Task.scope ->
  t ->
  origin ->
  Uri.t ->
  head:string ->
  Cohttp.Code.meth ->
  body ->
  exchange
(** [once scope t origin uri ~head meth body] sends the text [head] and [body], and waits for the
    head of the response. [scope] finishes it. [fresh] (default: [false]) uses no idle connection.
    [on_connected ()] is called before anything is sent. Raises as {!Client.request}. *)

val read : exchange -> bytes -> int -> int -> int
(** [read x b off len] is like {!Soil.File_descriptor.read}, of the body. Its end finishes the
    exchange. *)

val source : exchange -> Soil.Flow.source
(** [source x] is the flow that reads by {!read}. *)

val finish : exchange -> (unit -> bool) -> unit
(** [finish x at_end] returns the connection to the pool if the whole response was read, as
    [at_end ()] says, which may wait; otherwise it closes the connection. Does nothing if [x] has
    been finished. *)

val abandon : exchange -> unit
(** [abandon x] finishes [x] by closing its connection. *)

val is_at_end : Body.t -> bool
(** [is_at_end body] reads the rest of [body] if it is short and comes soon, and is [true] iff that
    was all. *)

val mistake : sending -> exn -> exn
(** [mistake s e] is the exception of the function that wrote the request's body, or [e]. *)

val cohttp_response : Head.response -> Cohttp.Response.t
