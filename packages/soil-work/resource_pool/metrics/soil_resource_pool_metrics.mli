(** Metrics of {!Soil_resource_pool} for {!Soil_metrics}. *)

val register : ?registry:Soil_metrics.registry -> name:string -> _ Soil_resource_pool.t -> unit
(** [register ~name pool] adds [pool] to the metrics of [registry] (default:
    {!Soil_metrics.default}), with the label [pool="name"], until its scope ends:

    - the gauge [resource_pool_resources], with the label [state]: [in_use], [idle], [opening] and
      [closing];
    - the gauge [resource_pool_waiting_tasks];
    - the counters [resource_pool_opened_total], [resource_pool_failed_total] (attempts to open),
      [resource_pool_closed_total], with the label [reason]
      ({!Soil_resource_pool.reason_to_string}), and [resource_pool_uses_total], with the label
      [result]: [got], [timed_out] or [refused];
    - the histogram [resource_pool_queue_seconds] of the times that uses waited.

    A name in use is replaced: pools of several domains need different names. For tasks of all
    domains. *)
