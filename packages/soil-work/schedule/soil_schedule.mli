(** Work at times: cron expressions in time zones, and intervals.

    {[
      let berlin = Soil_schedule.Zone.load ~folder:"/zoneinfo" "Europe/Berlin" in
      let nightly = Soil_schedule.cron ~zone:berlin "30 2 * * mon-fri" in
      Soil.Task.both
        (fun () -> Soil_schedule.run nightly (fun due -> report due))
        (fun () -> Soil_schedule.every 10. refresh)
    ]}

    Each {!run} and {!every} is a loop in its task, so a function never overlaps with itself. It
    lasts until it is cancelled, or the function raises: then it raises that exception. *)

module Zone = Zone

(** {1:cron Cron expressions} *)

type t
(** The type for cron expressions in a zone. *)

val cron : ?zone:Zone.t -> string -> t
(** [cron ~zone expression] is due where the local time in [zone] (default: {!Zone.utc}) matches.
    The expression is five fields between blanks:

    - minute, 0 to 59; hour, 0 to 23;
    - day of the month, 1 to 31; month, 1 to 12 or [jan] to [dec];
    - day of the week, 0 to 7 or [sun] to [sat]; 0 and 7 are Sunday.

    A field is a list, [1,5,10-20], of values, ranges and [*]; a range or [*] may have a step,
    [*/15]. If neither field of days begins with [*], a day matches one {e or} the other, as in
    Vixie cron: ["0 0 13 * fri"] is due on each 13th and on each Friday. [@yearly], [@annually],
    [@monthly], [@weekly], [@daily], [@midnight] and [@hourly] are expressions, too.

    {b Daylight saving} is handled as in Vixie cron, for changes of any length. If minute or hour
    begins with [*], the expression is due whenever the clock matches: not at local times that are
    skipped, and twice at those that are repeated. Otherwise it is due once: at the end of the gap
    if its local times are skipped (once for all of them), and at the first of two equal local
    times.

    Raises {!Soil.exception-Error} with [Bad_configuration], which names the field, the value and a
    remedy, also if no date matches. *)

val next : t -> after:float -> float option
(** [next t ~after] is the first time later than [after] at which [t] is due, in seconds since
    1970-01-01 UTC; [None] if there is none in 400 years. *)

(** {1:running Running} *)

(** What happens to times that passed while the program or the machine was stopped, the function
    ran, or by a step of the clock. *)
type missed =
  | Skip
      (** Nothing. A time is missed if a later one has passed, too, or it is a minute ago (of
          {!every}: half of the interval). *)
  | Once  (** One run for all of them, with the last one. *)
  | Each of int  (** A run for each of the last [n], the earliest first. At least 1. *)

val run : ?since:float -> ?missed:missed -> ?jitter:float -> t -> (float -> unit) -> 'a
(** [run t f] calls [f due] at each time [due] at which [t] is due by {!Soil.Clock.now}, and applies
    [missed] (default: [Once]) to the times after [since] (default: now): give it the last [due] of
    the program's former run if that is on a disk.

    [jitter] (default: 0) is in seconds: runs start later by a random part of it, so that many
    machines don't start at once.

    {b Steps of the clock} take effect within a minute. Times that a step forward passes are missed.
    A step back of up to 3 hours repeats nothing: the next run is at the first time after the last
    one. If minute or hour of the expression begin with [*], this holds for up to a minute. After a
    longer step back the new time counts alone.

    Raises [Invalid_argument] if an argument is out of range. *)

val every : ?missed:missed -> ?jitter:float -> float -> (unit -> unit) -> 'a
(** [every seconds f] calls [f ()] after [seconds], and at each multiple, by
    {!Soil.Clock.monotonic}: steps of the clock have no effect. [missed] (default: [Skip]) applies
    to the times that pass during [f ()]. Raises [Invalid_argument] if [seconds] is less than 0.001,
    and as {!run} does. *)
