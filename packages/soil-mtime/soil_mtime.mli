(** Soil's monotonic clock with the types of the [mtime] library. *)

val now : unit -> Mtime.t
(** [now ()] is the time of [Soil.Clock.monotonic_ns ()]. Doesn't wait. *)

val elapsed_since : Mtime.t -> Mtime.Span.t
(** [elapsed_since t] is the time from [t] until {!now}[ ()]. Doesn't wait. *)

val sleep : Mtime.Span.t -> unit
(** [sleep span] waits for at least [span], like [Soil.Clock.sleep]. *)

val timeout : Mtime.Span.t -> (unit -> 'a) -> 'a
(** [timeout span f] is [Soil.Task.timeout] with the time as a span. *)
