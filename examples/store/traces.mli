(** Traces and metrics for a collector of OpenTelemetry. *)

val start : Soil.Task.scope -> unit
(** [start scope] sends them if [OTEL_EXPORTER_OTLP_ENDPOINT] names a collector, until [scope] has
    ended. *)

val middleware : proxies:Soil.Net.prefix list -> Soil_http.Middleware.t
(** [middleware ~proxies] has a span for each request. Requests of [proxies] continue their traces.
*)
