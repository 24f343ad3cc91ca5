module Otel = Soil_otel
module Json = Soil_otel.Json
module Metrics = Soil_metrics
module Family = Soil_metrics.Family

let started = Soil.Clock.now_ns ()

let without suffix name =
  if String.ends_with ~suffix name then String.sub name 0 (String.length name - String.length suffix)
  else name

(* Units in UCUM, by the ends of names. *)
let units = [ ("_seconds", "s"); ("_bytes", "By"); ("_ratio", "1") ]

let unit_of name =
  match List.find_opt (fun (suffix, _) -> String.ends_with ~suffix name) units with
  | Some (_, unit) -> unit
  | None -> ""

(* Numbers, as in the examples of opentelemetry-proto: collectors in Rust read no strings here. *)
let numbers counts = Json.list (List.map Json.int (Array.to_list counts))

let value : Family.value -> (string * Json.t) list = function
  | Number x -> [ ("asDouble", Json.float x) ]
  | Distribution { bounds; counts; sum } ->
      [
        ("count", Json.int (Array.fold_left ( + ) 0 counts));
        ("sum", Json.float sum);
        ("bucketCounts", numbers counts);
        ("explicitBounds", Json.list (List.map Json.float (Array.to_list bounds)));
      ]

let point label_names ~now (values, v) =
  let attributes = List.map2 (fun name value -> (name, `String value)) label_names values in
  Json.record
    ([
       ("attributes", Otel.attributes_to_json attributes);
       (* The clock may have been set. *)
       ("startTimeUnixNano", Json.int64 (min started now));
       ("timeUnixNano", Json.int64 now);
     ]
    @ value v)

let cumulative = ("aggregationTemporality", Json.int 2)

let to_json ~now (family : Family.t) =
  let points =
    ("dataPoints", Json.list (List.map (point family.label_names ~now) (family.read ())))
  in
  let data =
    match family.kind with
    | Counter -> ("sum", Json.record [ cumulative; ("isMonotonic", Json.bool true); points ])
    | Gauge | Info -> ("gauge", Json.record [ points ])
    | Histogram -> ("histogram", Json.record [ cumulative; points ])
  in
  let name = match family.kind with Counter -> without "_total" family.name | _ -> family.name in
  Json.record
    [
      ("name", Json.string name);
      ("description", Json.string family.help);
      ("unit", Json.string (unit_of name));
      data;
    ]

let register_losses registry t =
  let signals : (string * Otel.signal) list =
    [ ("traces", Traces); ("metrics", Metrics); ("logs", Logs) ]
  in
  let collect name help count =
    let read () = List.map (fun (name, s) -> ([ name ], float (count (Otel.statistics t s)))) in
    Metrics.collect ~registry ~label_names:[ "signal" ] ~help `Counter name (fun () ->
        read () signals)
  in
  collect "otel_exported_total" "Spans, metrics and log records that the collector has taken."
    (fun s -> s.exported);
  collect "otel_dropped_total" "Spans, metrics and log records that were lost." (fun s -> s.dropped)

let register ?(registry = Metrics.default) t =
  register_losses registry t;
  Otel.on_collect t @@ fun () ->
  let now = Soil.Clock.now_ns () in
  List.iter
    (fun family -> Otel.add Metrics ~scope:"soil-sight.metrics" (to_json ~now family))
    (Metrics.families ~registry ())
