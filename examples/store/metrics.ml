module Server = Soil_http.Server
module Counter = Soil_metrics.Counter
module Histogram = Soil_metrics.Histogram

let responses =
  Counter.v_labels ~label_names:[ "route"; "status" ] ~help:"Responses by route and status."
    "store_responses_total"

let durations =
  Histogram.v_labels ~label_names:[ "route" ] ~help:"From a request to its response."
    "store_response_seconds"

let orders =
  Counter.v_labels ~label_names:[ "result" ] ~help:"Orders: placed, repeated or refused."
    "store_orders_total"

let confirmations =
  Counter.v_labels ~label_names:[ "result" ] ~help:"Attempts to deliver a confirmation."
    "store_confirmations_total"

let observe =
  Soil_http.Middleware.observe @@ fun request response seconds ->
  let route = Option.value (Server.Request.route request) ~default:"none" in
  let status = string_of_int (Cohttp.Code.code_of_status (Server.Response.status response)) in
  Counter.inc_one (Counter.labels responses [ route; status ]);
  Histogram.observe (Histogram.labels durations [ route ]) seconds

let count_order result =
  let result =
    match result with `Placed -> "placed" | `Repeated -> "repeated" | `Refused -> "refused"
  in
  Counter.inc_one (Counter.labels orders [ result ])

let count_confirmation deliver =
  let count result = Counter.inc_one (Counter.labels confirmations [ result ]) in
  match deliver () with
  | () -> count "delivered"
  | exception e ->
      count "failed";
      raise e

let page request =
  let content_type, body = Soil_metrics.page ?accept:(Server.header request "accept") () in
  Server.string ~headers:(Cohttp.Header.init_with "content-type" content_type) body
