let responses =
  Soil_metrics.Counter.v_labels ~label_names:[ "method"; "status" ]
    ~help:"Responses by method and status." "service_responses_total"

let count ~meth status =
  (* A client can make up methods, and each would be a time series. *)
  let name = match meth with `Other _ -> "other" | meth -> Cohttp.Code.string_of_method meth in
  let status = string_of_int (Cohttp.Code.code_of_status status) in
  Soil_metrics.Counter.inc_one (Soil_metrics.Counter.labels responses [ name; status ])

let rec children above list =
  List.concat_map
    (fun (h : Soil.Supervisor.health) ->
      let path = above ^ h.name in
      (path, h) :: children (path ^ "/") h.children)
    list

let watch supervisor =
  let each kind name help number =
    Soil_metrics.collect kind ~label_names:[ "child" ] ~help name @@ fun () ->
    let sample (path, health) = ([ path ], float_of_int (number health)) in
    List.map sample (children "" (Soil.Supervisor.health supervisor))
  in
  each `Gauge "service_child_ready" "1 if this part of the service is ready." (fun health ->
      match health.state with Ready -> 1 | _ -> 0);
  each `Counter "service_child_restarts_total" "Restarts of this part of the service."
    (fun health -> health.restarts)
