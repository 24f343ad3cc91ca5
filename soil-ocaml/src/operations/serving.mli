(** Serves the connections of a listener, each in a task. *)

val serve :
  string ->
  (Descriptor.t -> Descriptor.t) ->
  abort:(Descriptor.t -> unit) ->
  ?max_connections:int ->
  ?grace:float ->
  ?on_error:(Descriptor.t -> exn -> unit) ->
  Descriptor.t ->
  (Descriptor.t -> unit) ->
  unit
(** [serve name accept ~abort l handler] is {!Tcp.serve}, called [name] in [Invalid_argument], with
    [accept l] for each connection. [abort d] drops what a connection holds, whose peer is closed
    for the memory. *)
