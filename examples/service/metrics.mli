(** What the service counts, beside what [Soil_metrics] has of the machine. *)

val count : meth:Cohttp.Code.meth -> Cohttp.Code.status_code -> unit
(** [count ~meth status] counts a response. *)

val watch : Soil.Supervisor.t -> unit
(** [watch supervisor] has the state and the restarts of each child among the metrics. Call it once.
*)
