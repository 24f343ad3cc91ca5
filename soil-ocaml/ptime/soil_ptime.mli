(** Soil's wall clock and the times of files with the types of the [ptime] library. *)

val now : unit -> Ptime.t
(** [now ()] is the time that [Soil.Clock.now ()] shows. Doesn't wait. *)

val of_float : float -> Ptime.t
(** [of_float s] is [s] seconds since 1970-01-01 UTC, as in [Soil.Fs.stat]. Raises
    [Invalid_argument] if that isn't in the years 0 to 9999. *)

val to_float : Ptime.t -> float
(** [to_float t] is the same in the other direction, to a quarter of a microsecond. *)

val of_time : Soil.File.time -> Ptime.t
(** [of_time t] is [t]. Raises like {!of_float}. *)

val to_time : Ptime.t -> Soil.File.time
(** [to_time t] is [t], rounded down to nanoseconds. *)

val sleep_until : Ptime.t -> unit
(** [sleep_until t] waits for as long as {!now} is before [t], as it is when called: if the clock is
    set meanwhile the time stays. *)
