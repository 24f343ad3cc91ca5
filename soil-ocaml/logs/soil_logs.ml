let name = function
  | Logs.App -> "app"
  | Logs.Error -> "error"
  | Logs.Warning -> "warn"
  | Logs.Info -> "info"
  | Logs.Debug -> "debug"

let level_of_string = function
  | "error" -> Some Logs.Error
  | "warn" -> Some Logs.Warning
  | "info" -> Some Logs.Info
  | "debug" -> Some Logs.Debug
  | _ -> None

let reporter () =
  let started = Soil.Clock.monotonic () in
  let report source level ~over k message =
    let buffer = Buffer.create 128 in
    let formatter = Format.formatter_of_buffer buffer in
    let finish _ =
      Format.pp_print_flush formatter ();
      (* One write of a whole line. *)
      prerr_endline (Buffer.contents buffer);
      over ();
      k ()
    in
    message @@ fun ?header ?tags:_ format ->
    let seconds = Soil.Clock.monotonic () -. started in
    Format.fprintf formatter "[%10.6f] %s: " seconds (name level);
    if Logs.Src.name source <> Logs.Src.name Logs.default then
      Format.fprintf formatter "%s: " (Logs.Src.name source);
    Option.iter (Format.fprintf formatter "%s: ") header;
    Format.kfprintf finish formatter format
  in
  { Logs.report }

let setup () =
  let level = Option.bind (Sys.getenv_opt "SOIL_LOG") level_of_string in
  Logs.set_level (Some (Option.value level ~default:Logs.Warning));
  Logs.set_reporter (reporter ())
