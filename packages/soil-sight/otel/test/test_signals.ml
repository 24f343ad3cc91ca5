(* Metrics and logs. *)
open Collector
module Metrics = Soil_metrics

let metric c name =
  match List.filter (fun (_, m) -> text "name" m = name) (metrics c) with
  | [] -> Alcotest.fail ("no metric " ^ name)
  | l -> snd (List.nth l (List.length l - 1))

let points kind m = Json.(to_list (member "dataPoints" (member kind m)))
let double point = Json.to_number (Json.member "asDouble" point)
let float = Alcotest.(check (float 0.))

let all () =
  let registry = Metrics.registry () in
  let c =
    exporting ~limits:{ limits with metrics_seconds = 10. } (fun c t ->
        Soil_otel_metrics.register ~registry t;
        let requests =
          Metrics.Counter.v_labels ~registry ~label_names:[ "method"; "status" ] ~help:"Requests."
            "requests_total"
        and held = Metrics.Gauge.v ~registry ~help:"Held." "held_bytes"
        and seconds =
          Metrics.Histogram.v ~registry ~bounds:[ 0.5; 1. ] ~help:"Times." "took_seconds"
        in
        Metrics.collect ~registry ~label_names:[ "version" ] ~help:"About." `Info "about_info"
          (fun () -> [ ([ "1.0" ], 1.) ]);
        Metrics.Counter.inc (Metrics.Counter.labels requests [ "GET"; "200" ]) 3.;
        Metrics.Gauge.set held (-1.5);
        List.iter (Metrics.Histogram.observe seconds) [ 0.1; 0.5; 0.7; 5. ];
        Soil.Clock.sleep 15.;
        int "after its time" 1 (List.length c.requests);
        Metrics.Counter.inc_one (Metrics.Counter.labels requests [ "GET"; "200" ]))
  in
  strings "and at the end" [ "/base/v1/metrics"; "/base/v1/metrics" ] (paths c);
  let requests = metric c "requests" in
  string "help" "Requests." (text "description" requests);
  let sum = Json.member "sum" requests in
  int "cumulative" 2 (number "aggregationTemporality" sum);
  bool "monotonic" true (Json.to_bool (Json.member "isMonotonic" sum));
  let point = List.hd (points "sum" requests) in
  float "counter" 4. (double point);
  strings "labels" [ "method=GET"; "status=200" ] (attributes point);
  let time name = int_of_string (text name point) in
  bool "times" true (time "startTimeUnixNano" <= time "timeUnixNano");
  bool "now" true
    (Float.abs ((float_of_int (time "timeUnixNano") /. 1e9) -. Soil.Clock.now ()) < 3600.);
  let held = metric c "held_bytes" in
  string "unit" "By" (text "unit" held);
  float "gauge" (-1.5) (double (List.hd (points "gauge" held)));
  let took = metric c "took_seconds" in
  string "seconds" "s" (text "unit" took);
  let histogram = List.hd (points "histogram" took) in
  int "count" 4 (number "count" histogram);
  float "sum" 6.3 (Json.to_number (Json.member "sum" histogram));
  ints "buckets" [ 2; 1; 1 ]
    (List.map Json.to_int (Json.to_list (Json.member "bucketCounts" histogram)));
  Alcotest.(check (list (float 0.)))
    "bounds" [ 0.5; 1. ]
    (List.map Json.to_number (Json.to_list (Json.member "explicitBounds" histogram)));
  let about = List.hd (points "gauge" (metric c "about_info")) in
  strings "info" [ "version=1.0" ] (attributes about);
  strings "scope" [ "soil-sight.metrics" ]
    (List.sort_uniq String.compare (List.map fst (metrics c)))

let losses () =
  let registry = Metrics.registry () in
  let c =
    exporting ~limits:{ limits with max_items = 4 } (fun _ t ->
        Soil_otel_metrics.register ~registry t;
        for _ = 1 to 6 do
          Otel.with_span "s" ignore
        done;
        Soil.Clock.sleep 10.)
  in
  let of_traces m =
    let point = List.find (fun p -> attributes p = [ "signal=traces" ]) (points "sum" m) in
    double point
  in
  float "exported" 4. (of_traces (metric c "otel_exported"));
  float "dropped" 2. (of_traces (metric c "otel_dropped"))

(* The machine's own: whatever they are, they are sent. *)
let machine () =
  let c = exporting (fun _ t -> Soil_otel_metrics.register t) in
  bool "machine" true (List.exists (fun (_, m) -> text "name" m = "soil_tasks") (metrics c));
  bool "collector" true (List.length (metrics c) > 20)

(* A collector that fails, fails nothing else. *)
let failing () =
  let c =
    exporting (fun _ t ->
        Otel.on_collect t (fun () -> failwith "no value");
        Otel.on_collect t (fun () -> Otel.add Metrics ~scope:"s" (Otel.Json.record [])))
  in
  int "the other one" 1 (List.length (metrics c));
  strings "reported" [ {|otel: Failure("no value")|} ] c.failures

(* Logs *)

let with_reporter next f =
  let before = Logs.reporter () and level = Logs.level () in
  Logs.set_reporter (Soil_otel_logs.reporter ~max_bytes:100 next);
  Logs.set_level (Some Debug);
  Fun.protect f ~finally:(fun () ->
      Logs.set_reporter before;
      Logs.set_level level)

let logs () =
  let passed = ref [] in
  let report _ level ~over k msgf =
    msgf @@ fun ?header ?tags:_ format ->
    Format.kasprintf
      (fun text ->
        let header = Option.value header ~default:"" in
        passed := (Logs.level_to_string (Some level) ^ " " ^ header ^ " " ^ text) :: !passed;
        over ();
        k ())
      format
  in
  let src = Logs.Src.create "shop" in
  let tag = Logs.Tag.def "order" Format.pp_print_int in
  let other = Logs.Tag.def "other" Format.pp_print_int in
  let span_id = ref "" and made = ref 0 in
  with_reporter { Logs.report } (fun () ->
      Logs.app (fun m -> m "before");
      let c =
        exporting ~limits:{ limits with attributes = 1 } (fun _ _ ->
            Logs.err ~src (fun m ->
                m ~tags:Logs.Tag.(add tag 7 (add other 8 empty)) "%s %d" "bad" 1);
            Otel.with_span "work" (fun span ->
                span_id := (Option.get (Otel.context span)).span_id;
                Logs.info (fun m ->
                    incr made;
                    m ~header:"head" "text"));
            Logs.warn (fun m -> m "%s" (String.make 200 'x'));
            Logs.debug (fun m -> m "d");
            Logs.app (fun m -> m "a"))
      in
      let all = records c in
      strings "scopes" [ "shop"; ""; ""; ""; "" ] (List.map fst all);
      let all = List.map snd all in
      ints "severities" [ 17; 9; 13; 5; 10 ] (List.map (number "severityNumber") all);
      strings "texts"
        [ "bad 1"; "head: text"; String.make 100 'x'; "d"; "a" ]
        (List.map (fun r -> text "stringValue" (Json.member "body" r)) all);
      let first = List.hd all and info = List.nth all 1 in
      string "name" "ERROR" (text "severityText" first);
      int "tags" 1 (List.length (attributes first));
      ints "dropped tags" [ 1; 0; 0; 0; 0 ] (List.map (number "droppedAttributesCount") all);
      string "no trace" "" (text "traceId" first);
      string "span" !span_id (text "spanId" info);
      string "trace" (text "traceId" (named c "work")) (text "traceId" info);
      bool "time" true (int_of_string (text "timeUnixNano" info) > 0));
  int "formatted once" 1 !made;
  strings "passed on"
    [
      "app  before"; "error  bad 1"; "info head text"; "warning  " ^ String.make 200 'x';
      "debug  d"; "app  a";
    ]
    (List.rev !passed) [@ocamlformat "disable"]

let tests =
  [
    test "metrics" all;
    test "losses" losses;
    test "the machine's" machine;
    test "a function that fails" failing;
    test "logs" logs;
  ]
