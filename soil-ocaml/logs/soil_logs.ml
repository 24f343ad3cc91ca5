let level_of_string = function
  | "error" -> Some Logs.Error
  | "warn" -> Some Logs.Warning
  | "info" -> Some Logs.Info
  | "debug" -> Some Logs.Debug
  | _ -> None

let reporter () =
  let started = Soil.Clock.monotonic () in
  (* One write of a whole line. *)
  Line.reporter (fun source level header text ->
      Soil.Private.print_error (Line.console ~started source level header text ^ "\n"))

let setup ?reporter:given () =
  let level = Option.bind (Sys.getenv_opt "SOIL_LOG") level_of_string in
  Logs.set_level (Some (Option.value level ~default:Logs.Warning));
  Logs.set_reporter (match given with Some reporter -> reporter | None -> reporter ())

module Sink = Sink
module Syslog = Syslog
