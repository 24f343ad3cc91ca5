external monotonic_ns : unit -> (int[@untagged])
  = "soil_clock_monotonic_ns_bytecode" "soil_clock_monotonic_ns"
[@@noalloc]

(* Not times 1e-9, a number that is rounded: whole seconds are exact. *)
let seconds ns = float_of_int ns /. 1e9
let monotonic () = seconds (monotonic_ns ())
let now_ns () = Soil_raw.clock_wall_ns ()
let now () = seconds (now_ns ())

let sleep s =
  let at = Scheduler.deadline_after s in
  if s <= 0. && not (Owner.is_other ()) then Scheduler.yield () else Scheduler.sleep_until at

let sleep_until t = sleep (t -. monotonic ())
