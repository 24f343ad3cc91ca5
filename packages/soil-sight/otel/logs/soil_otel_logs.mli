(** Messages of [Logs], sent by {!Soil_otel}. *)

val reporter : ?max_bytes:int -> Logs.reporter -> Logs.reporter
(** [reporter next] sends each message, with the trace and the span of the task that logs it, and
    passes it on to [next]:

    {[
      Soil_logs.setup ~reporter:(Soil_otel_logs.reporter (Soil_logs.reporter ())) ()
    ]}

    Its source is the scope, tags are attributes. Of a text only the first [max_bytes] (default: 16
    KiB) are sent. While {!Soil_otel} doesn't run, only [next] gets it. *)
