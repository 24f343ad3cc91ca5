let () =
  Soil.run @@ fun () ->
  Soil.Task.scope @@ fun scope ->
  let server = Soil.Net.Endpoint.of_string "192.0.2.1:514" in
  let sinks = [ Soil_logs.Sink.console (); Soil_logs.Syslog.sink (`Tcp server) ] in
  Soil_logs.setup ~reporter:(Soil_logs.Sink.reporter scope sinks) ();
  Logs.warn (fun m -> m "disk %s is nearly full" "data")
