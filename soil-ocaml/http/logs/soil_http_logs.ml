module Server = Soil_http.Server

let source = Logs.Src.create "http" ~doc:"Requests and their responses."

let access ?(src = source) ?(format = Server.entry_to_string) (entry : Server.entry) =
  let level = if Cohttp.Code.code_of_status entry.status >= 500 then Logs.Warning else Logs.Info in
  Logs.msg ~src level (fun m -> m "%s" (format entry))

(* Without a reporter nothing would say it. *)
let report what e backtrace =
  if Logs.reporter () == Logs.nop_reporter then Soil.Private.report what e backtrace
  else
    let trace = String.trim (Printexc.raw_backtrace_to_string backtrace) in
    let trace = if trace = "" then "" else "\n" ^ trace in
    Logs.err ~src:source (fun m -> m "%s%s%s" (what ()) (Printexc.to_string e) trace)

let () = Server.on_exception report
