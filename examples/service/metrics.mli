(** The service's own metrics, in addition to the machine's in [Soil_metrics]. *)

val count : meth:Cohttp.Code.meth -> Cohttp.Code.status_code -> unit
(** [count ~meth status] counts a response. *)

val watch : Soil.Supervisor.t -> unit
(** [watch supervisor] adds the state and the restarts of each child to the metrics. Call it once.
*)
