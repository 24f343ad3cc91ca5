module Server = Soil_http.Server

let start scope =
  if Sys.getenv_opt "OTEL_EXPORTER_OTLP_ENDPOINT" <> None then
    Soil_otel_metrics.register (Soil_otel.start ~service:"store" scope)

let middleware ~proxies =
  let is_of_proxy request =
    match Server.endpoint request with
    | Some { address; _ } -> List.exists (Soil.Net.Prefix.mem address) proxies
    | None -> false
  in
  Soil_otel_http.middleware ~accept:is_of_proxy ()
