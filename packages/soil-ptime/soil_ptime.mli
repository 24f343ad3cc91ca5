(** Soil's wall clock and file times with the types of the [ptime] library. *)

val now : unit -> Ptime.t
(** [now ()] is the time of [Soil.Clock.now ()]. Doesn't wait. *)

val of_float : float -> Ptime.t
(** [of_float s] is [s] seconds since 1970-01-01 UTC, as in [Soil.Fs.stat]. Raises
    [Invalid_argument] if that isn't in the years 0 to 9999. *)

val to_float : Ptime.t -> float
(** [to_float t] is the inverse, to a quarter of a microsecond. *)

val of_time : Soil.File.time -> Ptime.t
(** [of_time t] is [t]. Raises like {!of_float}. *)

val to_time : Ptime.t -> Soil.File.time
(** [to_time t] is [t], rounded down to nanoseconds. *)

val sleep_until : Ptime.t -> unit
(** [sleep_until t] waits for the time from {!now} to [t] at the call; setting the clock meanwhile
    has no effect. *)
