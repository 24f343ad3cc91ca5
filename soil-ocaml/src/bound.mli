(** TCP sockets that are bound before they connect or listen.

    {!Tcp.connect} and {!Tcp.listen} bind by themselves; this module is for programs that have to
    know or choose the local port of a connection, or the options of its SYN. *)

val bind : ?address:Net.address -> ?options:Tcp.options -> ?port:int -> unit -> File_descriptor.t
(** [bind ()] takes [port] (default: 0, a free one; {!Tcp.local} tells which) of [address] (default:
    {!Net.any}) and is a descriptor of kind [Listener], for {!connect} or {!listen}. It holds the
    port until it is closed; connections to the port are refused. Its connections inherit [options]
    and the values that {!Tcp.set_hop_limit}, {!Tcp.set_dscp} and the functions of
    {!section:Tcp.agreed} set. Doesn't wait. Raises {!Soil.exception-Error} as {!Tcp.listen}. *)

val connect : ?timeout:float -> File_descriptor.t -> Net.endpoint -> File_descriptor.t
(** [connect b e] is a connection from the local endpoint of [b] to [e], like {!Tcp.connect}. [b] is
    closed when the attempt begins, whether it succeeds or not. Raises {!Soil.exception-Error} like
    {!Tcp.connect}, and with [Wrong_kind] if [b] isn't bound or listens. *)

val listen : ?backlog:int -> File_descriptor.t -> unit
(** [listen b] turns [b] into a listener, like {!Tcp.listen}. Raises {!Soil.exception-Error} with
    [Wrong_kind] if [b] isn't bound. *)
