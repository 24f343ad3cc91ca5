let in_range = function Some t -> t | None -> invalid_arg "Soil_ptime: not in the years 0 to 9999"
let of_float s = in_range (Ptime.of_float_s s)
let to_float = Ptime.to_float_s
let now () = of_float (Soil.Clock.now ())
let day = 86_400

let of_time { Soil.File.seconds; nanoseconds } =
  let days = (seconds - if seconds < 0 then day - 1 else 0) / day in
  let rest = Int64.of_int (((seconds - (days * day)) * 1_000_000_000) + nanoseconds) in
  in_range (Option.bind (Ptime.Span.of_d_ps (days, Int64.mul rest 1000L)) Ptime.of_span)

let to_time t =
  let days, picoseconds = Ptime.Span.to_d_ps (Ptime.to_span t) in
  let rest = Int64.to_int (Int64.div picoseconds 1000L) in
  let seconds = (days * day) + (rest / 1_000_000_000) in
  { Soil.File.seconds; nanoseconds = rest mod 1_000_000_000 }

let sleep_until t = Soil.Clock.sleep (to_float t -. Soil.Clock.now ())
