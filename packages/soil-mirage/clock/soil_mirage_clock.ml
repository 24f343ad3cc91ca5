let picoseconds ns = Int64.mul (Int64.of_int ns) 1_000L
let day_ns = 86_400_000_000_000

module Pclock = struct
  (* Down, also before 1970: the rest isn't negative. *)
  let now_d_ps () =
    let ns = Soil.Clock.now_ns () in
    let rest = ((ns mod day_ns) + day_ns) mod day_ns in
    ((ns - rest) / day_ns, picoseconds rest)

  let current_tz_offset_s () = Some 0
  let period_d_ps () = Some (0, picoseconds 1)
end

module Mclock = struct
  let elapsed_ns () = Int64.of_int (Soil.Clock.monotonic_ns ())
  let period_ns () = Some 1L
end
