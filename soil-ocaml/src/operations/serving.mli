(** Serves the connections of a listener, each in a task. *)

val serve :
  string ->
  (Descriptor.t -> Descriptor.t) ->
  abort:(Descriptor.t -> unit) ->
  ?max_connections:int ->
  ?grace:float ->
  ?on_error:('can File_descriptor.t -> exn -> unit) ->
  _ File_descriptor.t ->
  ('can File_descriptor.t -> unit) ->
  unit
(** [serve name accept ~abort l handler] is {!Tcp.serve}, called [name] in [Invalid_argument], with
    [accept l] for each connection. [abort d] drops what a connection holds, whose peer is closed
    for the memory. *)
