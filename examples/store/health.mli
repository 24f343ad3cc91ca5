(** The proxy's check of a machine: it gets no visitors while it stops or has no database. *)

type t

val create : Soil.Task.scope -> (unit -> bool) -> t
(** [create scope check] is ready when [check ()] is [true], which may wait. It runs in a task of
    [scope], once at a time: requests that come meanwhile share its result, so that strangers who
    ask for it cost no more than the proxy. *)

val handle : t -> Soil_http.Server.request -> Soil_http.Server.response
(** [handle t] is the handler: 200 or 503. *)
