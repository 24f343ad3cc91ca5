let level_of_string = function
  | "error" -> Some Logs.Error
  | "warn" -> Some Logs.Warning
  | "info" -> Some Logs.Info
  | "debug" -> Some Logs.Debug
  | _ -> None

let reporter () =
  (* One write of a whole line. *)
  Line.reporter (fun source level header text ->
      let time = Soil.Clock.now_ns () in
      Soil.Private.print_error (fun () -> Line.console ~time source level header text ^ "\n"))

let setup ?level ?reporter:given () =
  let asked = Option.bind (Sys.getenv_opt "SOIL_LOG") level_of_string in
  let level = if asked = None then level else asked in
  if level <> None then Logs.set_level level;
  Logs.set_reporter (match given with Some reporter -> reporter | None -> reporter ())

module Sink = Sink
module Syslog = Syslog
