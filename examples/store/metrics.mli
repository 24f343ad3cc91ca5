(** The store's own metrics, in addition to those of the machine and of the pool [database]. *)

val observe : Soil_http.Middleware.t
(** [observe] counts responses by route and status, and their seconds. *)

val count_order : [ `Placed | `Repeated | `Refused ] -> unit
(** [count_order result] counts a call of {!Orders.place}. *)

val count_confirmation : (unit -> unit) -> unit
(** [count_confirmation deliver] is [deliver ()], and counts whether it raised. *)

val page : Soil_http.Server.request -> Soil_http.Server.response
(** [page request] is the text of all metrics. *)
