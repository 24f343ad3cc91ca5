(** TCP sockets that are bound before they connect or listen.

    {!Tcp.connect} and {!Tcp.listen} bind implicitly; this module is for programs that have to know
    or choose the local port of a connection, or the options of its SYN. *)

type t = [ `Tcp | `Bound ] File_descriptor.t
(** The type for bound sockets, for {!Tcp.local} and {!section:Tcp.agreed} as well. *)

val bind : ?address:Net.address -> ?options:Tcp.options -> ?port:int -> unit -> t
(** [bind ()] reserves [port] (default: 0, a free one; {!Tcp.local} returns it) of [address]
    (default: {!Net.any}), for {!connect} or {!listen}, until it is closed; connections to the port
    are refused. Its connections inherit [options] and the values set by {!Tcp.set_hop_limit},
    {!Tcp.set_dscp} and the functions of {!section:Tcp.agreed}. Doesn't wait. Raises
    {!Soil.exception-Error} as {!Tcp.listen}. *)

val connect : ?timeout:float -> [> `Bound ] File_descriptor.t -> Net.endpoint -> Tcp.connection
(** [connect b e] is a connection from the local endpoint of [b] to [e], like {!Tcp.connect}. [b] is
    closed when the attempt begins, whether it succeeds or not. Raises {!Soil.exception-Error} like
    {!Tcp.connect}. *)

val listen : ?backlog:int -> [> `Bound ] File_descriptor.t -> Tcp.listener
(** [listen b] is a listener at the local endpoint of [b], like {!Tcp.listen}, and closes [b]. *)
