(** The HTTP interface: values below [/kv/], [/health] and [/metrics]. *)

type t = {
  supervisor : Soil.Supervisor.t;
  store : Soil.Kv.t Soil.Supervisor.child;
  max_value : int;  (** Bytes. *)
  store_failed : Soil.Error.t -> unit;  (** Called when the store's volume has failed. *)
  fail : (string -> bool) option;  (** Makes the child of this name fail, if there is one. *)
}

val serve : t -> ?secure:(Soil.Tcp.connection -> Soil.Flow.t) -> Soil.Tcp.listener -> unit
(** [serve t l] handles the requests of connections to [l], over a session of [secure] if given. A
    [PUT] or [DELETE] is confirmed when the change is durable. *)
