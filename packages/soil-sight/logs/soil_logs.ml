let level_of_string = function
  | "error" -> Some Logs.Error
  | "warn" -> Some Logs.Warning
  | "info" -> Some Logs.Info
  | "debug" -> Some Logs.Debug
  | _ -> None

let reporter ?(format = Line.plain) () =
  (* One write of a whole line. *)
  Line.reporter (fun message -> Soil.Private.print_error (fun () -> format message))

(* The levels before [Debug] of all: the default one, and those of the sources. *)
let before = ref None

let toggle_debug () =
  match !before with
  | None ->
      let sources = List.map (fun src -> (src, Logs.Src.level src)) (Logs.Src.list ()) in
      before := Some (Logs.level (), sources);
      Logs.set_level ~all:true (Some Debug)
  | Some (level, sources) ->
      before := None;
      Logs.set_level ~all:true level;
      List.iter (fun (src, level) -> Logs.Src.set_level src level) sources

(* A handler of the program's own stays. *)
let take_signal () =
  match Sys.signal Sys.sigusr2 (Signal_handle (fun _ -> toggle_debug ())) with
  | Signal_default -> ()
  | (Signal_ignore | Signal_handle _) as own -> Sys.set_signal Sys.sigusr2 own
  | exception (Invalid_argument _ | Sys_error _) -> ()

let setup ?level ?format ?reporter:given () =
  let asked = Option.bind (Sys.getenv_opt "SOIL_LOG") level_of_string in
  let level = if asked = None then level else asked in
  if level <> None then Logs.set_level level;
  Logs.set_reporter (match given with Some given -> given | None -> reporter ?format ());
  take_signal ()

module Sink = Sink
module Json = Json
module Syslog = Syslog
