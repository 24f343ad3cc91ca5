module M = Soil_metrics

let string = Alcotest.(check string)
let bool = Alcotest.(check bool)
let int = Alcotest.(check int)
let test name f = Alcotest.test_case name `Quick f
let lines text = String.concat "\n" (text @ [ "" ])

let refused name f =
  match f () with _ -> Alcotest.fail (name ^ ": accepted") | exception Invalid_argument _ -> ()

let page () =
  let registry = M.registry () in
  let requests =
    M.Counter.v_labels ~registry ~label_names:[ "method"; "path" ] ~help:"Requests."
      "requests_total"
  in
  M.Counter.inc_one (M.Counter.labels requests [ "PUT"; "/" ]);
  M.Counter.inc (M.Counter.labels requests [ "GET"; "a\"\\\n\xff" ]) 2.5;
  M.Counter.inc_one (M.Counter.labels requests [ "PUT"; "/" ]);
  let queue = M.Gauge.v ~registry ~help:"Said as \"it is\",\nor \\." "queue_bytes" in
  M.Gauge.set queue (-3.);
  let sizes = M.Histogram.v ~registry ~bounds:[ 0.5; 10. ] ~help:"Sizes." "sizes" in
  List.iter (M.Histogram.observe sizes) [ 0.5; 0.75; 10.; 11. ];
  M.collect ~registry ~label_names:[ "version" ] ~help:"Build." `Info "build_info" (fun () ->
      [ ([ "1.0" ], 1.) ]);
  string "the older format"
    (lines
       [
         "# HELP requests_total Requests.";
         "# TYPE requests_total counter";
         "requests_total{method=\"GET\",path=\"a\\\"\\\\\\n\u{fffd}\"} 2.5";
         "requests_total{method=\"PUT\",path=\"/\"} 2";
         "# HELP queue_bytes Said as \"it is\",\\nor \\\\.";
         "# TYPE queue_bytes gauge";
         "queue_bytes -3";
         "# HELP sizes Sizes.";
         "# TYPE sizes histogram";
         "sizes_bucket{le=\"0.5\"} 1";
         "sizes_bucket{le=\"10.0\"} 3";
         "sizes_bucket{le=\"+Inf\"} 4";
         "sizes_count 4";
         "sizes_sum 22.25";
         "# HELP build_info Build.";
         "# TYPE build_info gauge";
         "build_info{version=\"1.0\"} 1";
       ])
    (M.to_string ~registry Prometheus);
  string "OpenMetrics"
    (lines
       [
         "# HELP requests Requests.";
         "# TYPE requests counter";
         "requests_total{method=\"GET\",path=\"a\\\"\\\\\\n\u{fffd}\"} 2.5";
         "requests_total{method=\"PUT\",path=\"/\"} 2";
         "# HELP queue_bytes Said as \\\"it is\\\",\\nor \\\\.";
         "# TYPE queue_bytes gauge";
         "# UNIT queue_bytes bytes";
         "queue_bytes -3";
         "# HELP sizes Sizes.";
         "# TYPE sizes histogram";
         "sizes_bucket{le=\"0.5\"} 1";
         "sizes_bucket{le=\"10.0\"} 3";
         "sizes_bucket{le=\"+Inf\"} 4";
         "sizes_count 4";
         "sizes_sum 22.25";
         "# HELP build Build.";
         "# TYPE build info";
         "build_info{version=\"1.0\"} 1";
         "# EOF";
       ])
    (M.to_string ~registry Open_metrics)

let bounded () =
  let registry = M.registry () in
  let family =
    M.Gauge.v_labels ~registry ~max_label_sets:2 ~label_names:[ "user" ] ~help:"H." "users"
  in
  List.iter
    (fun user -> M.Gauge.inc_one (M.Gauge.labels family [ user ]))
    [ "a"; "b"; "c"; "d"; "a" ];
  string "further sets share one"
    (lines
       [
         "# HELP users H.";
         "# TYPE users gauge";
         "users{user=\"a\"} 2";
         "users{user=\"b\"} 1";
         "users{user=\"overflow\"} 2";
       ])
    (M.to_string ~registry Prometheus);
  refused "two values for one label" (fun () -> M.Gauge.labels family [ "a"; "b" ])

let names () =
  let registry = M.registry () in
  let counter name = ignore (M.Counter.v ~registry ~help:"H." name) in
  let gauge ?registry name = ignore (M.Gauge.v ?registry ~help:"H." name) in
  let histogram ?bounds name = ignore (M.Histogram.v ~registry ?bounds ~help:"H." name) in
  let labelled names = M.Gauge.v_labels ~registry ~label_names:names ~help:"H." "labelled" in
  List.iter
    (fun name -> refused name (fun () -> counter name))
    [ ""; "requests"; "_total"; "1_total"; "a-b_total"; "a b_total"; "\u{e4}_total" ];
  counter "a_total";
  refused "the same name" (fun () -> counter "a_total");
  refused "the name of a family" (fun () -> gauge ~registry "a");
  histogram "times";
  refused "the name of a sample" (fun () -> gauge ~registry "times_count");
  gauge ~registry "b_sum";
  refused "samples with a name in use" (fun () -> histogram "b");
  refused "the machine's" (fun () -> gauge "soil_mine");
  gauge ~registry "soil_mine";
  List.iter
    (fun names -> refused (String.concat "," names) (fun () -> labelled names))
    [ [ "" ]; [ "__a" ]; [ "a-b" ]; [ "a"; "a" ] ];
  refused "bounds that fall" (fun () -> histogram ~bounds:[ 1.; 1. ] "h");
  refused "an infinite bound" (fun () -> histogram ~bounds:[ infinity ] "h");
  refused "a label le" (fun () ->
      M.Histogram.v_labels ~registry ~label_names:[ "le" ] ~help:"H." "h");
  let c = M.Counter.v ~registry ~help:"H." "c_total" in
  refused "a counter that falls" (fun () -> M.Counter.inc c (-1.));
  refused "a counter that is no number" (fun () -> M.Counter.inc c nan)

exception Stop

let around () =
  let registry = M.registry () in
  let busy = M.Gauge.v ~registry ~help:"H." "busy" in
  let times = M.Histogram.v ~registry ~help:"H." "times_seconds" in
  let inside () =
    Alcotest.(check (float 0.)) "inside" 1. (M.Gauge.value busy);
    raise Stop
  in
  (match M.Gauge.track busy (fun () -> M.Histogram.time times inside) with
  | () -> Alcotest.fail "no exception"
  | exception Stop -> ());
  Alcotest.(check (float 0.)) "after" 0. (M.Gauge.value busy);
  int "timed" 1 (M.Histogram.count times);
  bool "not negative" true (M.Histogram.sum times >= 0.);
  M.Histogram.observe times nan;
  int "what isn't a number is counted" 2 (M.Histogram.count times);
  bool "without its value" true (Float.is_finite (M.Histogram.sum times))

let accepted () =
  let is_open accept =
    let kind, text = M.page ~registry:(M.registry ()) ?accept () in
    let is_open = String.ends_with ~suffix:"# EOF\n" text in
    string "content type" (M.content_type (if is_open then Open_metrics else Prometheus)) kind;
    is_open
  in
  let check expected accept =
    bool (Option.value accept ~default:"none") expected (is_open accept)
  in
  List.iter (check false)
    [
      None;
      Some "";
      Some "*/*";
      Some "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";
      Some "text/plain;version=0.0.4, application/openmetrics-text;q=0.5";
      Some "application/openmetrics-text;q=0";
    ];
  List.iter (check true)
    [
      Some "application/openmetrics-text";
      (* What Prometheus 2.53 sends. *)
      Some
        "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
      Some "Application/OpenMetrics-Text ; version=1.0.0";
    ]

let value text name =
  let prefix = name ^ " " in
  let line = List.find_opt (String.starts_with ~prefix) (String.split_on_char '\n' text) in
  let value line =
    let n = String.length prefix in
    float_of_string (String.sub line n (String.length line - n))
  in
  match line with Some line -> value line | None -> Alcotest.fail (name ^ ": not there")

let of_first name = name ^ "{domain=\"0\"}"

let machine () =
  Soil.run @@ fun () ->
  let absent = M.to_string Prometheus in
  let has prefix text = List.exists (String.starts_with ~prefix) (String.split_on_char '\n' text) in
  bool "asking starts no network" false (has "soil_link" absent);
  bool "nor mounts" false (has "soil_volume" absent);
  Soil.Fs.write_file "/memory/file" "text";
  let started = value absent (of_first "soil_tasks_started_total") in
  let collected = value absent "ocaml_gc_minor_collections_total" in
  Soil.Task.scope (fun scope ->
      for _ = 1 to 7 do
        ignore (Soil.Task.spawn scope Soil.Task.yield)
      done);
  Gc.minor ();
  let text = M.to_string Prometheus in
  Alcotest.(check (float 0.))
    "tasks" 7.
    (value text (of_first "soil_tasks_started_total") -. started);
  Alcotest.(check (float 0.)) "this one is left" 1. (value text (of_first "soil_tasks"));
  bool "turns" true
    (value text (of_first "soil_task_turns_total")
    >= value absent (of_first "soil_task_turns_total") +. 14.);
  bool "collections" true (value text "ocaml_gc_minor_collections_total" > collected);
  Alcotest.(check (float 0.))
    "size" 1048576.
    (value text "soil_volume_size_bytes{volume=\"/memory\"}");
  Alcotest.(check (float 0.))
    "health" 1.
    (value text "soil_volume_health{volume=\"/memory\",health=\"writable\"}");
  List.iter
    (fun name -> bool name true (value text name > 0.))
    [
      "process_start_time_seconds";
      "process_resident_memory_bytes";
      "soil_processors";
      "ocaml_gc_heap_bytes";
    ]

(* Properties. *)

(* Reads a label's value back as the formats define it. *)
let unescape text =
  let b = Buffer.create 16 in
  let rec go i =
    if i < String.length text then
      match text.[i] with
      | '\\' ->
          Buffer.add_char b
            (match text.[i + 1] with
            | 'n' -> '\n'
            | ('\\' | '"') as c -> c
            | _ -> failwith "escape");
          go (i + 2)
      | '"' | '\n' -> failwith "not escaped"
      | c ->
          Buffer.add_char b c;
          go (i + 1)
  in
  go 0;
  Buffer.contents b

let utf_8 =
  let scalar =
    QCheck2.Gen.(oneof [ int_bound 0x7f; int_bound 0xd7ff; int_range 0xe000 0x10ffff ])
  in
  let special = QCheck2.Gen.oneofl [ 0x0a; 0x22; 0x5c; 0x6e ] in
  let text scalars =
    let b = Buffer.create 16 in
    List.iter (fun c -> Buffer.add_utf_8_uchar b (Uchar.of_int c)) scalars;
    Buffer.contents b
  in
  QCheck2.Gen.(map text (list_size (int_bound 20) (oneof [ scalar; special ])))

let label_value ~format label =
  let registry = M.registry () in
  let family = M.Gauge.v_labels ~registry ~label_names:[ "l" ] ~help:"H." "g" in
  M.Gauge.set (M.Gauge.labels family [ label ]) 1.;
  let text = M.to_string ~registry format in
  match List.find_opt (String.starts_with ~prefix:"g{") (String.split_on_char '\n' text) with
  | Some line -> String.sub line 5 (String.length line - 5 - String.length "\"} 1")
  | None -> failwith "no sample"

let law ~name ?print generator holds =
  let cell = QCheck2.Test.make_cell ~name ?print generator holds in
  test name (fun () -> QCheck2.Test.check_cell_exn cell)

let properties =
  [
    law ~name:"labels are read back as they were" ~print:String.escaped utf_8 (fun label ->
        List.for_all
          (fun format -> unescape (label_value ~format label) = label)
          [ M.Prometheus; Open_metrics ]);
    law ~name:"labels of any bytes are UTF-8" ~print:String.escaped
      QCheck2.Gen.(string_size (int_bound 20))
      (fun label -> String.is_valid_utf_8 (label_value ~format:Open_metrics label));
    law ~name:"numbers are read back as they were" ~print:string_of_float
      QCheck2.Gen.(oneof [ float; map float_of_int int ])
      (fun x ->
        let registry = M.registry () in
        M.Gauge.set (M.Gauge.v ~registry ~help:"H." "g") x;
        let read = value (M.to_string ~registry Prometheus) "g" in
        Float.equal read x || (Float.is_nan read && Float.is_nan x));
    law ~name:"buckets count what is at most their bound"
      QCheck2.Gen.(list_size (int_bound 50) (float_range 0. 12.))
      (fun observed ->
        let registry = M.registry () in
        let h = M.Histogram.v ~registry ~bounds:[ 1.; 2.5; 10. ] ~help:"H." "h" in
        List.iter (M.Histogram.observe h) observed;
        let text = M.to_string ~registry Prometheus in
        List.for_all
          (fun (label, bound) ->
            let below = List.length (List.filter (fun x -> x <= bound) observed) in
            value text ("h_bucket{le=\"" ^ label ^ "\"}") = float_of_int below)
          [ ("1.0", 1.); ("2.5", 2.5); ("10.0", 10.); ("+Inf", infinity) ]);
  ]

(* Nothing is lost that tasks of several domains count at the same moment. *)
let domains () =
  let count = 200_000 and domains = 4 in
  Soil.Domain.run ~domains @@ fun () ->
  let registry = M.registry () in
  let total = M.Counter.v ~registry ~help:"C." "c_total" in
  let level = M.Gauge.v ~registry ~help:"G." "g" in
  let sizes = M.Histogram.v ~registry ~bounds:[ 1. ] ~help:"H." "h" in
  let labelled = M.Counter.v_labels ~registry ~label_names:[ "n" ] ~help:"L." "l_total" in
  Soil.Domain.each (fun _ ->
      for i = 1 to count do
        M.Counter.inc_one total;
        M.Gauge.inc level 2.;
        M.Gauge.dec_one level;
        M.Histogram.observe sizes 1.;
        M.Counter.inc_one (M.Counter.labels labelled [ string_of_int (i land 63) ])
      done);
  let text = M.to_string Prometheus in
  for domain = 0 to domains - 1 do
    let name = Printf.sprintf "soil_tasks{domain=\"%d\"}" domain in
    bool name true (value text name >= 1.)
  done;
  let all = count * domains in
  int "counter" all (int_of_float (M.Counter.value total));
  int "gauge" all (int_of_float (M.Gauge.value level));
  int "histogram" all (M.Histogram.count sizes);
  int "sum" all (int_of_float (M.Histogram.sum sizes));
  let of_label n = M.Counter.value (M.Counter.labels labelled [ string_of_int n ]) in
  let sum = List.fold_left (fun sum n -> sum +. of_label n) 0. (List.init 64 Fun.id) in
  int "labels" all (int_of_float sum)

let () =
  Alcotest.run "metrics"
    [
      ( "metrics",
        [
          test "both formats" page;
          test "label sets are bounded" bounded;
          test "names are checked" names;
          test "around a function" around;
          test "content negotiation" accepted;
          test "the machine's own" machine;
          test "several domains" domains;
        ] );
      ("properties", properties);
    ]
