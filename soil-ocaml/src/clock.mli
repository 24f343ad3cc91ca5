(** Time. *)

val monotonic : unit -> float
(** [monotonic ()] is the time in seconds since an unspecified point before the program's start. It
    never goes back and is never adjusted. *)

external monotonic_ns : unit -> (int[@untagged])
  = "soil_clock_monotonic_ns_bytecode" "soil_clock_monotonic_ns"
[@@noalloc]
(** [monotonic_ns ()] is {!monotonic} in nanoseconds. *)

val now : unit -> float
(** [now ()] is the time of day in seconds since 1970-01-01 00:00 UTC, like [Unix.gettimeofday].

    In a process it is the host's. In an image its error depends on the machine:

    - Under KVM on a PC, and with a VMClock that has the time, it follows the host's to less than a
      millisecond.
    - A real-time clock shows whole seconds, of which [now] takes the middle: the error is half a
      second at most. QEMU's own on a PC, which counts where there is no KVM, begins at the second
      in which QEMU was started, so that the error is up to a second.
    - With [SOIL_NTP] it is set once the network is up, with the error of that server and half of
      the network's delay. It may step then, in both directions.
    - Without any of these it begins in 1970.

    Measure durations with {!monotonic}. *)

val now_ns : unit -> int
(** [now_ns ()] is {!now} in nanoseconds. *)

val sleep : float -> unit
(** [sleep s] waits for at least [s] seconds; other tasks run meanwhile. With [s <= 0.] it is
    {!Task.yield}, and with [infinity] it waits until it is cancelled. Raises [Invalid_argument] if
    [s] isn't a number. *)

val sleep_until : float -> unit
(** [sleep_until t] waits until {!monotonic}[ () >= t]. *)
