(** Soil's clocks as the devices of [mirage-clock], for libraries that are functors over them.

    {[
      module Log = Mirage_logs.Make (Soil_mirage_clock.Pclock)
    ]}

    Nothing here waits. Libraries on [mirage-ptime] link its implementation [mirage-ptime.unix],
    whose clock is the same in both forms. *)

module Pclock : Mirage_clock.PCLOCK
(** The time of day, [Soil.Clock.now_ns]. The time zone's offset is 0: for another use [Unix], which
    supports [TZ]. The period is 1 ns, the unit of the clock. *)

module Mclock : Mirage_clock.MCLOCK
(** The monotonic clock, [Soil.Clock.monotonic_ns]. *)
