let level = function
  | Logs.App -> "app"
  | Logs.Error -> "error"
  | Logs.Warning -> "warn"
  | Logs.Info -> "info"
  | Logs.Debug -> "debug"

let timestamp ns =
  let us = if ns >= 0 then ns / 1000 else (ns - 999) / 1000 in
  let day = 86_400_000_000 in
  let days = if us >= 0 then us / day else (us - day + 1) / day in
  let rest = us - (days * day) in
  let year, month, day = Soil.Private.date days in
  let seconds = rest / 1_000_000 in
  Printf.sprintf "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ" year month day (seconds / 3600)
    (seconds / 60 mod 60)
    (seconds mod 60) (rest mod 1_000_000)

let console ~time source l header text =
  let part text = if text = "" then "" else text ^ ": " in
  Printf.sprintf "%s %s: %s%s%s" (timestamp time) (level l) (part source)
    (part (Option.value header ~default:""))
    text

let reporter say =
  let report source level ~over k message =
    let buffer = Buffer.create 128 in
    let formatter = Format.formatter_of_buffer buffer in
    message @@ fun ?header ?tags:_ format ->
    let finish _ =
      Format.pp_print_flush formatter ();
      let name = Logs.Src.name source in
      let name = if name = Logs.Src.name Logs.default then "" else name in
      say name level header (Buffer.contents buffer);
      over ();
      k ()
    in
    Format.kfprintf finish formatter format
  in
  { Logs.report }
