(** Counters, and the page that shows them in the text format of Prometheus. *)

val count : meth:Cohttp.Code.meth -> Cohttp.Code.status_code -> unit
(** [count ~meth status] counts a response. *)

val page : Soil.Supervisor.t -> string
(** [page supervisor] is the counted responses, and the state and the restarts of each child. *)
