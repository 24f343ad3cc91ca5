(** Connections between servers. Each server connects to each other one, and sends its messages
    there, after a first frame with its number and address. *)

type t

val create : Soil.Task.scope -> id:int -> address:string -> t
(** [create scope ~id ~address] sends as the server [id]; its tasks are in [scope]. *)

val learn : t -> id:int -> address:string -> unit
(** [learn t ~id ~address] sends messages for the server [id] to [address] from now on. *)

val send : t -> int -> Message.t -> unit
(** [send t id m] queues [m] for the server [id]. Never waits: a message for an unknown server, or
    for one whose queue is full, is dropped, as if the network had lost it. *)

val serve : t -> max_connections:int -> Soil.Tcp.listener -> (int -> Message.t -> unit) -> unit
(** [serve t ~max_connections listener receive] calls [receive id m] for the messages of other
    servers, until it is cancelled. It closes a connection that sends anything else, with a line on
    standard error. *)
