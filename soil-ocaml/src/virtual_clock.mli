(** Virtual time, for tests of timeouts, limits, retries and sessions that don't wait.

    {[
      let () =
        Soil.Virtual_clock.run @@ fun () ->
        let start = Soil.Clock.now () in
        assert (Soil.Task.timeout_opt 3600. (fun () -> Soil.Clock.sleep 86400.) = None);
        assert (Soil.Clock.now () -. start = 3600.)
    ]}

    In {!run} the times of {!Clock}, and thereby everything that waits for them ({!Task.timeout},
    [?timeout] of functions, {!Supervisor}, the limits of [Soil_http]), are those of a clock that
    stands still while tasks are ready. When none is, the clock is set to the earliest time that a
    task waits for. So an hour of waiting takes microseconds, and the order of events doesn't depend
    on the machine's speed.

    {b Devices.} Operations of the machine, such as those on sockets, disks and the console, take
    real time; pipes and {!Flow.pair} are the program's own. While the only operations that tasks
    wait for are the machine's, they are waited for. If tasks wait for the time, too, the clock
    moves on after [io_seconds] of real time without a completion. The network's own times (of
    retransmissions, of name servers), dates of files, [Unix.gettimeofday], [Unix.sleep] and the
    clocks of other threads remain real.

    {b Signals.} A handler of a signal must not raise an exception during {!run}, which may then
    wait for ever. Others are fine.

    {b Other tasks} that were started before run, too, and have the virtual clock; what they waited
    for before still happens in real time. So a [Task.timeout] around {!run} ends a test that hangs.
*)

val run : ?now:float -> ?io_seconds:float -> (unit -> 'a) -> 'a
(** [run f] is [f ()] with virtual time. It runs tasks as {!Soil.run} does, also inside that. The
    clocks start at the same times in each call: {!Clock.now} at [now] seconds since 1970-01-01
    00:00 UTC (default: [946684800.], 2000-01-01 00:00). [io_seconds] defaults to 0.01. Afterwards,
    also after an exception, the clocks are the machine's.

    If no task can run any more, because none waits for a time or for the machine, [f] is cancelled,
    and [run] raises {!Soil.exception-Error} with [Deadlock].

    Inside another [run] the clock is that one's, and [now] the time of day during [f ()].

    A task that calls {!Task.yield} until a time is reached never gets there: it has to sleep.
    Raises [Invalid_argument] unless [now] is between 0 and 4e9, and [io_seconds] at least 0. *)

val advance : float -> unit
(** [advance s] sets the clock [s] seconds ahead, as if this task had computed for that time.
    Doesn't wait: what is due happens when the task waits next. To let other tasks run meanwhile,
    use {!Clock.sleep}. Raises [Invalid_argument] outside {!run}, or if [s] isn't a number. *)
