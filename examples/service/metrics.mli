(** The service's own metrics, beside those of the machine in [Soil_metrics]. *)

val count : meth:Cohttp.Code.meth -> Cohttp.Code.status_code -> unit
(** [count ~meth status] counts a response. *)

val watch : Soil.Supervisor.t -> unit
(** [watch supervisor] has the state and the restarts of each child among the metrics. Call it once.
*)
