(** The HTTP interface: values by name below [/kv/], [/health] and [/metrics]. *)

type t = {
  supervisor : Soil.Supervisor.t;
  store : Soil.Kv.t Soil.Supervisor.child;
  max_value : int;  (** Bytes. *)
  store_failed : Soil.Error.t -> unit;  (** Called when the store's volume has failed. *)
  fail : (string -> bool) option;  (** Has the child of this name fail, if there is one. *)
}

val serve : t -> ?secure:(Soil.Tcp.connection -> Soil.Flow.t) -> Soil.Tcp.listener -> unit
(** [serve t l] answers the requests that come by connections to [l], with [secure] over the session
    that it begins. A response to [PUT] or [DELETE] that says success is sent when the change is
    durable. *)
