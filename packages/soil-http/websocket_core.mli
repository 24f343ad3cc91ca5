(** Connections of {!Websocket}, for both sides. Private to [soil-http]. *)

type t
type message = Text of string | Binary of string

exception Failed of int * string

type stop = { at_stop : (unit -> unit) -> unit; leave : unit -> unit }
(** The type for ending a connection when the server stops: [at_stop f] calls [f ()] when it stops,
    and [leave ()] cancels the function of {!run}. *)

val run :
  ?stop:stop ->
  mask:(unit -> int32) option ->
  protocol:string option ->
  max_bytes:int ->
  ping_seconds:float ->
  Soil.Flow.t ->
  (t -> 'a) ->
  'a
(** [run ~mask ~protocol ~max_bytes ~ping_seconds d f] is [f t] with a connection over [d], which it
    ends afterwards. A client masks its output, with [mask]; a server doesn't. With [stop], [f] is
    cancelled as soon as it waits for a message of which nothing has been received.

    An exception that comes of the connection leaves [run] as {!Response.Cut} in a server. *)

val default_max_bytes : int
val default_ping_seconds : float

(** {1 Documented in {!Websocket}} *)

val receive : t -> message option
val iter : (message -> unit) -> t -> unit
val send : t -> message -> unit
val ping : t -> unit
val close : ?code:int -> ?reason:string -> t -> unit
val protocol : t -> string option
val closed_by_peer : t -> (int * string) option
