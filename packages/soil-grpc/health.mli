(** The service [grpc.health.v1.Health], for probes of Kubernetes and load balancers
    ({{:https://github.com/grpc/grpc/blob/master/doc/health-checking.md}protocol}). *)

type t
(** The type for the statuses of a server's services. *)

type status = Serving | Not_serving

val create : unit -> t
(** [create ()] knows [""], the server as a whole, as [Serving]. *)

val set : t -> string -> status -> unit
(** [set t service status] is the status of [service] from now on; watching clients get it. *)

val rpcs : t -> Server.rpc list
(** [rpcs t] is [Check] and [Watch], for {!Server.handler}. While the server is draining
    ({!Soil_http.Server.is_draining}) all services are [Not_serving], and watches end. *)

(** {1:client For clients} *)

val check : ?timeout:float -> Client.t -> string -> status option
(** [check client service] asks a server; [None] if it doesn't know [service]. Raises as
    {!Client.unary}. *)
