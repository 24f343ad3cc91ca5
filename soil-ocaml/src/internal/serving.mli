(** Serves the connections of a listener, each in a task. *)

val serve :
  string ->
  (Descriptor.t -> Descriptor.t) ->
  ?max_connections:int ->
  ?grace:float ->
  ?on_error:(Descriptor.t -> exn -> unit) ->
  Descriptor.t ->
  (Descriptor.t -> unit) ->
  unit
(** [serve name accept l handler] is {!Tcp.serve}, called [name] in [Invalid_argument], with
    [accept l] for each connection. *)
