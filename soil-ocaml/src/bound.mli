(** TCP sockets that are bound before they connect or listen.

    {!Tcp.connect} and {!Tcp.listen} bind by themselves; this is for programs that have to know, or
    to choose, the own port of a connection, or what its SYN is sent with. *)

val bind : ?address:Net.address -> ?options:Tcp.options -> ?port:int -> unit -> File_descriptor.t
(** [bind ()] takes [port] (default: 0, a free one; {!Tcp.local} tells which) of [address] (default:
    {!Net.any}) and is a descriptor of kind [Listener], for {!connect} or {!listen}. The port is
    taken until it is closed; connections to it are refused. What is chosen for it, by [options] or
    by {!Tcp.set_hop_limit}, {!Tcp.set_dscp} and the functions of {!section:Tcp.agreed}, is what its
    connections begin with. Doesn't wait. Raises {!Soil.exception-Error} as {!Tcp.listen}. *)

val connect : ?timeout:float -> File_descriptor.t -> Net.endpoint -> File_descriptor.t
(** [connect b e] is a connection from what [b] is bound to to [e], as {!Tcp.connect} makes it. [b]
    is closed from when the attempt begins, whatever becomes of it. Raises {!Soil.exception-Error}
    as that, and with [Wrong_kind] if [b] isn't bound or listens. *)

val listen : ?backlog:int -> File_descriptor.t -> unit
(** [listen b] makes a listener of [b], as {!Tcp.listen} does. Raises {!Soil.exception-Error} with
    [Wrong_kind] if [b] isn't bound. *)
