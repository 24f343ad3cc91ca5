(** What the examples' servers have in common: heads of responses, and a connection's requests one
    after the other. *)

val response :
  ?fields:(string * string) list ->
  keep_alive:bool ->
  size:int ->
  Cohttp.Code.status_code ->
  Cohttp.Response.t
(** [response ~keep_alive ~size status] is the head of a response with a body of [size] bytes, with
    the date and [fields]. *)

val short :
  Http.connection ->
  keep_alive:bool ->
  ?head_only:bool ->
  ?fields:(string * string) list ->
  Cohttp.Code.status_code ->
  unit
(** [short c ~keep_alive status] sends a response that only says its status, to people too. *)

val connection :
  keeps:(Cohttp.Request.t -> bool) ->
  (Http.connection -> Cohttp.Request.t -> keep_alive:bool -> unit) ->
  Soil.Tcp.connection ->
  unit
(** [connection ~keeps answer d] has [answer] respond to each request that comes by [d], for
    {!Soil.Tcp.serve}. After a request that [keeps] is [false] for, one whose body [answer] doesn't
    read, the connection ends. [answer] raises {!Http.Refused} before it responds if the request
    can't be served. *)
