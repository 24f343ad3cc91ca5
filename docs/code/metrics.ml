let requests =
  Soil_metrics.Counter.v_labels ~label_names:[ "method"; "status" ]
    ~help:"Requests by method and status." "http_requests_total"

let () = Soil_metrics.Counter.inc_one (Soil_metrics.Counter.labels requests [ "GET"; "200" ])
