(** Metrics of {!Soil_jobs} for {!Soil_metrics}. *)

val register : ?registry:Soil_metrics.registry -> name:string -> Soil_jobs.t -> unit
(** [register ~name queue] adds [queue] to the metrics of [registry] (default:
    {!Soil_metrics.default}):

    - the gauge [name_jobs], with the label [state]: [queued], [delayed], [running], [dead] and
      [keys];
    - the gauge [name_oldest_seconds], how long the oldest queued job has been ready;
    - the counters [name_enqueued_total], [name_finished_total], [name_failures_total] (attempts)
      and [name_store_errors_total].

    [name] is the beginning of their names, such as ["mails"]. Raises [Invalid_argument] if they are
    registered already. *)
