let source = Logs.Src.create "http" ~doc:"Requests and their responses."

let access ?(src = source) (entry : Soil_http.Server.entry) =
  let level = if Cohttp.Code.code_of_status entry.status >= 500 then Logs.Warning else Logs.Info in
  Logs.msg ~src level (fun m -> m "%s" (Soil_http.Server.entry_to_string entry))
