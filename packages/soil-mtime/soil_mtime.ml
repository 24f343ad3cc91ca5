let now () = Mtime.of_uint64_ns (Int64.of_int (Soil.Clock.monotonic_ns ()))
let elapsed_since t = Mtime.span t (now ())
let seconds span = Mtime.Span.to_float_ns span *. 1e-9
let sleep span = Soil.Clock.sleep (seconds span)
let timeout span f = Soil.Task.timeout (seconds span) f
