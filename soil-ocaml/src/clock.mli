(** Time. *)

val monotonic : unit -> float
(** [monotonic ()] is the time in seconds since an unspecified point before the program's start. It
    never goes back and is never adjusted. *)

external monotonic_ns : unit -> (int[@untagged])
  = "soil_clock_monotonic_ns_bytecode" "soil_clock_monotonic_ns"
[@@noalloc]
(** [monotonic_ns ()] is {!monotonic} in nanoseconds. *)

val now : unit -> float
(** [now ()] is the time of day in seconds since 1970-01-01 00:00 UTC, like [Unix.gettimeofday]. *)

val now_ns : unit -> int
(** [now_ns ()] is {!now} in nanoseconds. *)

val sleep : float -> unit
(** [sleep s] waits for at least [s] seconds; other tasks run meanwhile. With [s <= 0.] it is
    {!Task.yield}, and with [infinity] it waits until it is cancelled. Raises [Invalid_argument] if
    [s] isn't a number. *)

val sleep_until : float -> unit
(** [sleep_until t] waits until {!monotonic}[ () >= t]. *)
