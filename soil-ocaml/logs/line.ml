let level = function
  | Logs.App -> "app"
  | Logs.Error -> "error"
  | Logs.Warning -> "warn"
  | Logs.Info -> "info"
  | Logs.Debug -> "debug"

let console ~started source l header text =
  let seconds = Soil.Clock.monotonic () -. started in
  let part text = if text = "" then "" else text ^ ": " in
  Printf.sprintf "[%10.6f] %s: %s%s%s" seconds (level l) (part source)
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
