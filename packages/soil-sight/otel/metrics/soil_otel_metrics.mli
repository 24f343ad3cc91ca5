(** Metrics of {!Soil_metrics}, sent by {!Soil_otel}. *)

val register : ?registry:Soil_metrics.registry -> Soil_otel.t -> unit
(** [register t] sends all metrics of [registry] (default: {!Soil_metrics.default}) each
    [metrics_seconds] of {!Soil_otel.Limits}, and at the end of [t]. It adds the counters
    [otel_exported_total] and [otel_dropped_total], by [signal], to [registry].

    Counters are cumulative sums, and lose [_total] in their names; histograms have their own
    bounds; an [`Info] is a gauge of 1. Units are those of the names' ends: [_seconds], [_bytes] and
    [_ratio].

    Raises [Invalid_argument] if [registry] has been registered already. *)
