(* The bounds of the queue, repetitions, and the end. *)
open Collector

let small = { limits with seconds = 1. }
let dropped t = (counts t Traces).dropped
let exported t = (counts t Traces).exported
let many n = List.init n (fun i -> "s" ^ string_of_int i)
let add_span name = Otel.with_span name ignore

(* Bounds *)

let bounds () =
  let limits = { small with max_items = 10; batch_items = 4 } in
  let c =
    exporting ~limits (fun _ t ->
        List.iter add_span (many 15);
        int "dropped" 5 (dropped t);
        int "held" 10 (fst (Otel.held t));
        Soil.Clock.sleep 10.;
        int "exported" 10 (exported t);
        Alcotest.(check (pair int int)) "nothing held" (0, 0) (Otel.held t);
        List.iter add_span (many 3))
  in
  strings "the newest are dropped" (many 10 @ many 3) (names (spans c));
  ints "batches" [ 4; 4; 2; 3 ]
    (List.rev_map
       (fun (_, body) ->
         Json.(
           List.length
             (to_list
                (member "spans"
                   (index 0 (member "scopeSpans" (index 0 (member "resourceSpans" body))))))))
       c.requests)

(* What didn't fit is reported once, until everything fits again. *)
let overflow () =
  let c =
    exporting ~limits:{ small with max_items = 2 } (fun c _ ->
        List.iter add_span (many 3);
        Soil.Clock.sleep 1.5;
        int "reported" 1 (List.length c.failures);
        List.iter add_span (many 4);
        Soil.Clock.sleep 1.;
        int "reported once" 1 (List.length c.failures);
        Soil.Clock.sleep 5.;
        List.iter add_span (many 5))
  in
  let message n =
    Printf.sprintf
      "otel: the queue of traces was full: %d items were lost. Raise max_items or max_bytes of its \
       limits, or record fewer."
      n
  in
  strings "reported again, at the end" [ message 3; message 1 ] c.failures

let bytes () =
  let limits = { small with max_bytes = 3000; batch_bytes = 900 } in
  let big = `String (String.make 1000 'x') in
  let c =
    exporting ~limits (fun _ t ->
        let add name = Otel.with_span ~attributes:[ ("big", big) ] name ignore in
        add "a";
        add "b";
        add "c";
        int "dropped" 1 (dropped t);
        bool "bytes" true (snd (Otel.held t) <= 3000);
        Otel.with_span ~attributes:[ ("1", big); ("2", big); ("3", big) ] "huge" ignore;
        int "more than all" 2 (dropped t))
  in
  strings "sent" [ "a"; "b" ] (names (spans c));
  int "one in each request" 2 (List.length c.requests)

(* One budget for all signals. *)
let shared () =
  let limits = { small with max_items = 4 } in
  ignore
    (exporting ~limits (fun _ t ->
         List.iter add_span (many 3);
         for _ = 1 to 3 do
           Otel.add Logs ~scope:"s" (Otel.Json.record [])
         done;
         int "spans" 0 (dropped t);
         int "records" 2 (counts t Logs).dropped))

(* Early, when a batch is full; else each [seconds]. *)
let times () =
  let limits = { small with seconds = 100.; batch_items = 4 } in
  ignore
    (exporting ~limits (fun c t ->
         List.iter add_span (many 3);
         Soil.Clock.sleep 99.;
         int "not yet" 0 (List.length c.requests);
         Soil.Clock.sleep 2.;
         int "in time" 1 (List.length c.requests);
         List.iter add_span (many 4);
         Soil.Clock.sleep 1.;
         int "a full batch" 2 (List.length c.requests);
         int "exported" 7 (exported t)))

(* Early as well when half of the bytes are held: the other queues, and after a request. *)
let half () =
  let limits = { small with seconds = 1000.; max_bytes = 4000; batch_items = 2 } in
  let big n = Otel.with_span ~attributes:[ ("big", `String (String.make n 'x')) ] "big" ignore in
  ignore
    (exporting ~limits (fun c t ->
         (* The exporter's tasks wait. *)
         Soil.Clock.sleep 1.;
         Otel.add Logs ~scope:"s" (Otel.Json.record []);
         big 1900;
         Soil.Clock.sleep 1.;
         strings "both" [ "/base/v1/logs"; "/base/v1/traces" ] (List.sort String.compare (paths c));
         c.respond <-
           (fun n ->
             Soil.Clock.sleep 5.;
             taken n);
         List.iter add_span (many 2);
         Soil.Clock.sleep 1.;
         big 1900;
         Soil.Clock.sleep 20.;
         int "after the request" 4 (List.length c.requests);
         int "exported" 4 (exported t)))

(* Whatever is added, each item is exported, dropped or held, and the bounds hold. *)
let conservation =
  let gen =
    QCheck2.Gen.(
      list_size (int_bound 60)
        (pair (int_bound 2) (oneofl [ `Add; `Add; `Sleep; `Fail; `Reject; `Take ])))
  in
  let law steps =
    Soil.Virtual_clock.run @@ fun () ->
    let limits =
      { small with max_items = 8; batch_items = 3; max_bytes = 1500; retry_seconds = 3. }
    in
    let added = ref 0 and last = ref None and ok = ref true in
    ignore
      (exporting ~limits (fun c t ->
           last := Some t;
           let step (n, what) =
             (match what with
             | `Add ->
                 added := !added + n;
                 List.iter add_span (many n)
             | `Sleep -> Soil.Clock.sleep (float n)
             | `Fail -> c.respond <- (fun _ -> Server.status `Service_unavailable)
             | `Reject -> c.respond <- (fun _ -> Server.status `Bad_request)
             | `Take -> c.respond <- taken);
             let items, bytes = Otel.held t in
             ok := !ok && items <= 8 && bytes <= 1500;
             ok := !ok && !added = items + exported t + dropped t
           in
           List.iter step steps));
    let t = Option.get !last in
    !ok && !added = exported t + dropped t && Otel.held t = (0, 0)
  in
  QCheck2.Test.make ~count:60 ~name:"each is counted once" gen law

(* Repetitions *)

let status ?headers status = Server.status ?headers status

let after seconds =
  status ~headers:(Cohttp.Header.init_with "retry-after" seconds) `Too_many_requests

let retries () =
  let times = ref [] in
  let respond n =
    times := Soil.Clock.monotonic () :: !times;
    match n with
    | 1 -> status `Service_unavailable
    | 2 -> after "7"
    | 3 -> after "100000"
    | 4 -> status `Bad_gateway
    | _ -> taken n
  in
  let limits = { small with retry_seconds = 1000. } in
  let c =
    exporting ~limits ~respond (fun _ t ->
        add_span "once";
        Soil.Clock.sleep 200.;
        int "exported" 1 (exported t))
  in
  int "requests" 5 (List.length c.requests);
  strings "the same again" [ "once" ] (List.sort_uniq String.compare (names (spans c)));
  strings "no loss" [] c.failures;
  match List.rev !times with
  | [ a; b; c; d; e ] ->
      bool "first delay" true (b -. a >= 0.5 && b -. a <= 1.6);
      let seconds = Alcotest.(check (float 0.01)) in
      seconds "the server's" 7. (c -. b);
      seconds "at most" 30. (d -. c);
      bool "the fourth" true (e -. d >= 4. && e -. d <= 13.)
  | _ -> Alcotest.fail "requests"

let gives_up () =
  let c =
    exporting
      ~limits:{ small with retry_seconds = 20. }
      ~respond:(fun _ -> status `Gateway_timeout)
      (fun c t ->
        add_span "lost";
        Soil.Clock.sleep 40.;
        int "dropped" 1 (dropped t);
        int "reported" 1 (List.length c.failures);
        add_span "again";
        Soil.Clock.sleep 40.;
        int "both" 2 (dropped t);
        int "reported once" 1 (List.length c.failures);
        c.respond <- taken;
        add_span "taken";
        Soil.Clock.sleep 10.;
        c.respond <- (fun _ -> status `Bad_request);
        add_span "refused";
        Soil.Clock.sleep 10.;
        int "reported again" 2 (List.length c.failures))
  in
  bool "several attempts" true (List.length c.requests > 4);
  let first = List.nth c.failures 1 in
  string "message"
    "otel: POST http://collector:4318/base/v1/traces: 504 Gateway Timeout: 1 items were lost. Does \
     a collector of OTLP/HTTP listen there?"
    first

let refusals () =
  let c =
    exporting ~limits:small
      ~respond:(fun _ -> status `Not_found)
      (fun _ t ->
        add_span "refused";
        Soil.Clock.sleep 5.;
        int "dropped" 1 (dropped t))
  in
  int "no repetition" 1 (List.length c.requests)

let partial () =
  let bodies =
    [
      (1, {|{"partialSuccess":{}}|}, 0);
      (1, {|{"partialSuccess":{"rejectedSpans":"0"}}|}, 0);
      (3, {|{"partialSuccess":{"rejectedSpans":"2","errorMessage":"no"}}|}, 2);
      (3, {|{"partialSuccess": {"errorMessage": "no", "rejectedSpans" : 1 }}|}, 1);
      (2, {|{"partialSuccess":{"rejectedSpans":"999999999999999999999999"}}|}, 0);
      (2, {|{"partialSuccess":{"rejectedSpans":"9999"}}|}, 2);
      (2, {|{"partialSuccess":{"rejectedSpans":"-5"}}|}, 0);
      (2, {|{"partialSuccess":{"rejectedSpans|}, 0);
      (2, "\"rejected", 0);
      (2, "", 0);
      (2, "\xff\x00garbage:", 0);
      (2, {|{"partialSuccess":{"errorMessage":"\"rejectedSpans\":2"}}|}, 0);
      (2, {|{"partialSuccess":{"errorMessage":"no \"rejectedSpans","x":2}}|}, 0);
      (2, {|{"partialSuccess":{"errorMessage":"rejectedSpans","x":2}}|}, 0);
      (2, {|{"partialSuccess":{"rejectedLogRecords":2}}|}, 0);
      (2, {|{"partialSuccess":{"errorMessage":"rejectedSpans: 2","rejectedSpans":1}}|}, 1);
    ]
  in
  ignore
    (exporting ~limits:small (fun c t ->
         let one (n, body, lost) =
           let before = dropped t and sent = exported t in
           c.respond <- (fun _ -> Server.string body);
           List.iter add_span (many n);
           Soil.Clock.sleep 5.;
           int ("lost: " ^ body) lost (dropped t - before);
           int ("taken: " ^ body) (n - lost) (exported t - sent)
         in
         List.iter one bodies))

let reasons () =
  let one expected body =
    let c = exporting ~respond:(fun _ -> Server.string body) (fun _ _ -> add_span "rejected") in
    strings "reported"
      [
        "otel: POST http://collector:4318/base/v1/traces: the collector has rejected some"
        ^ expected ^ ": 1 items were lost. Does a collector of OTLP/HTTP listen there?";
      ]
      c.failures
  in
  one "" {|{"partialSuccess":{"rejectedSpans":1}}|};
  one {| (too \"old\"?)|}
    ({|{"partialSuccess":{"rejectedSpans":1,"errorMessage":"too \"old\"|} ^ "\x1b" ^ {|"}}|});
  one
    (" (" ^ String.make 256 'x' ^ ")")
    ({|{"partialSuccess":{"rejectedSpans":1,"errorMessage":"|} ^ String.make 999 'x' ^ {|"}}|});
  one " (cut)" {|{"rejectedSpans":1,"errorMessage":"cut|}

(* Of metrics the number is that of data points: at most all metrics of the request are lost. *)
let points () =
  let last = ref None in
  let respond _ = Server.string {|{"partialSuccess":{"rejectedDataPoints":"7"}}|} in
  ignore
    (exporting ~respond (fun _ t ->
         last := Some t;
         Otel.on_collect t (fun () ->
             Otel.add Metrics ~scope:"s" (Otel.Json.record []);
             Otel.add Metrics ~scope:"s" (Otel.Json.record []))));
  int "dropped" 2 (counts (Option.get !last) Metrics).dropped

(* Without a server, and with one that doesn't answer or answers something else. *)
let connections () =
  let run connect f =
    T.scope @@ fun scope ->
    let client = Soil_http.Client.create ~connect () in
    let t =
      Otel.start ~endpoint:(Uri.of_string "http://nowhere") ~client
        ~limits:{ small with retry_seconds = 25. }
        ~on_failure:ignore scope
    in
    f t
  in
  let attempts = ref 0 in
  let refusing ~host:_ ~port:_ =
    incr attempts;
    Soil.Error.fail Connection_refused "connect" ~subject:"nowhere" ~detail:""
  in
  run refusing (fun t ->
      add_span "lost";
      Soil.Clock.sleep 60.;
      int "no server" 1 (dropped t));
  bool "repeated" true (!attempts > 3);
  let flow answer ~host:_ ~port:_ =
    let client, server = Soil.Flow.pair () in
    answer server;
    incr attempts;
    (client :> Soil.File_descriptor.flow)
  in
  attempts := 0;
  run (flow ignore) (fun t ->
      add_span "lost";
      Soil.Clock.sleep 60.;
      int "silent" 1 (dropped t));
  bool "repeated after silence" true (!attempts >= 2);
  let odd server = Soil.File_descriptor.write_string server "SSH-2.0-x\r\n\r\n" in
  run (flow odd) (fun t ->
      add_span "lost";
      Soil.Clock.sleep 60.;
      int "not HTTP" 1 (dropped t));
  run refusing (fun t ->
      T.scope (fun _ -> ());
      Soil.Clock.sleep 0.1;
      int "https without TLS" 0 (dropped t))

(* The status decides, whatever becomes of the body: what the collector has taken isn't sent again. *)
let responses () =
  let one what ~lost head body =
    let requests = ref 0 in
    T.scope @@ fun tasks ->
    let connect ~host:_ ~port:_ =
      let client, server = Soil.Flow.pair () in
      incr requests;
      let answer () =
        Soil.File_descriptor.write_string server ("HTTP/1.1 " ^ head ^ "\r\n\r\n");
        body server
      in
      ignore (T.spawn_daemon tasks answer);
      (client :> Soil.File_descriptor.flow)
    in
    T.scope @@ fun scope ->
    let limits = { Soil_http.Client.default_limits with body_bytes = 65536 } in
    let t =
      Otel.start
        ~endpoint:(Uri.of_string "http://collector")
        ~client:(Soil_http.Client.create ~limits ~connect ())
        ~limits:{ small with retry_seconds = 25. }
        ~on_failure:ignore scope
    in
    add_span "once";
    Soil.Clock.sleep 60.;
    int (what ^ ": requests") 1 !requests;
    int (what ^ ": exported") (1 - lost) (exported t);
    int (what ^ ": dropped") lost (dropped t)
  in
  let silence _ = Soil.Clock.sleep 100. and close = Soil.File_descriptor.close in
  let long server =
    try Soil.File_descriptor.write_string server (String.make 100_000 ' ') with Soil.Error _ -> ()
  in
  one "a truncated body" ~lost:0 "200 OK\r\ncontent-length: 9" close;
  one "a long body" ~lost:0 "200 OK\r\ncontent-length: 100000" long;
  one "a body that doesn't come" ~lost:0 "202 Accepted\r\ncontent-length: 9" silence;
  one "a long page" ~lost:1 "400 Bad Request\r\ncontent-length: 100000" long;
  one "a page that doesn't come" ~lost:1 "404 Not Found\r\ncontent-length: 9" silence

(* The end *)

let at_end () =
  let began = ref 0. in
  let c =
    exporting ~limits:{ small with seconds = 1000. } (fun _ _ ->
        add_span "early";
        Otel.add Logs ~scope:"s" (Otel.Json.record []);
        began := Soil.Clock.monotonic ())
  in
  strings "both" [ "/base/v1/logs"; "/base/v1/traces" ] (List.sort String.compare (paths c));
  bool "at once" true (Soil.Clock.monotonic () -. !began < 1.)

(* Also of the tasks that unwind when the scope fails. *)
let at_failure () =
  let last = ref None in
  let c = ref None in
  (match
     exporting (fun collector t ->
         last := Some t;
         c := Some collector;
         Otel.with_span "fails" (fun _ -> failwith "over"))
   with
  | _ -> Alcotest.fail "no failure"
  | exception Failure _ -> ());
  strings "sent" [ "fails" ] (names (spans (Option.get !c)))

(* For longer than the grace period, which begins at their end. *)
let slow_end () =
  let c = ref None in
  let unwind () =
    try Soil.Clock.sleep 100.
    with T.Cancelled as e ->
      T.protect (fun () -> Soil.Clock.sleep 10.);
      raise e
  in
  (match
     exporting (fun collector _ ->
         c := Some collector;
         let slow () = Otel.with_span "slow" (fun _ -> unwind ()) in
         ignore (T.spawn (Option.get collector.scope) slow);
         T.yield ();
         failwith "over")
   with
  | _ -> Alcotest.fail "no failure"
  | exception Failure _ -> ());
  strings "sent" [ "slow" ] (names (spans (Option.get !c)))

let grace () =
  let began = ref 0. and last = ref None in
  let c =
    exporting
      ~limits:{ small with grace = 5.; batch_items = 2; max_items = 7 }
      ~respond:(fun n -> if n = 1 then taken n else status `Service_unavailable)
      (fun _ t ->
        last := Some t;
        List.iter add_span (many 7);
        (* The second batch is under way. *)
        Soil.Clock.sleep 0.1;
        List.iter add_span (many 4);
        began := Soil.Clock.monotonic ())
  in
  let took = Soil.Clock.monotonic () -. !began and t = Option.get !last in
  bool "within the grace" true (took >= 1. && took <= 5.1);
  bool "tried again" true (List.length c.requests > 2);
  int "exported" 2 (exported t);
  int "the rest is lost" 9 (dropped t);
  strings "reported"
    [
      "otel: POST http://collector:4318/base/v1/traces: the grace period is over: 7 items were \
       lost. Does a collector of OTLP/HTTP listen there?";
      "otel: the queue of traces was full: 2 items were lost. Raise max_items or max_bytes of its \
       limits, or record fewer.";
    ]
    c.failures;
  Alcotest.(check (pair int int)) "nothing held" (0, 0) (Otel.held t)

(* A pause isn't waited for. *)
let end_in_a_pause () =
  let last = ref None in
  let c =
    exporting ~limits:small
      ~respond:(fun n -> if n = 1 then after "25" else taken n)
      (fun _ t ->
        last := Some t;
        add_span "late";
        Soil.Clock.sleep 3.)
  in
  int "requests" 2 (List.length c.requests);
  int "exported" 1 (exported (Option.get !last))

(* Several domains add at once. *)
let domains () =
  let n = 2000 and last = ref None in
  Soil.Domain.run ~domains:3 @@ fun () ->
  let c =
    exporting
      ~limits:{ limits with max_items = 1_000_000; max_bytes = 1 lsl 28; grace = 600. }
      (fun _ t ->
        last := Some t;
        Soil.Domain.each (fun i ->
            for j = 1 to n do
              Otel.with_span (string_of_int i) (fun span -> Otel.set_attribute span "j" (`Int j));
              if j mod 100 = 0 then T.yield ()
            done))
  in
  let t = Option.get !last in
  int "exported" (3 * n) (exported t);
  int "dropped" 0 (dropped t);
  let ids = List.map (text "spanId") (spans c) in
  int "different" (3 * n) (List.length (List.sort_uniq String.compare ids))

(* Nothing stays when the exporter ends while another domain finishes spans. *)
let end_of_domains () =
  let stops = Atomic.make false and given = Atomic.make [] and finished = Atomic.make 0 in
  let finish span =
    Otel.finish span;
    Atomic.incr finished
  in
  let work () =
    while not (Atomic.get stops) do
      List.iter finish (Atomic.exchange given [])
    done
  in
  let domain = Stdlib.Domain.spawn work in
  let stop () =
    Atomic.set stops true;
    Stdlib.Domain.join domain
  in
  Fun.protect ~finally:stop @@ fun () ->
  Soil.run @@ fun () ->
  let until n =
    while Atomic.get finished < n do
      Unix.sleepf 1e-5
    done
  in
  let n = 2000 in
  for i = 0 to 99 do
    let last = ref None in
    let limits = { limits with max_items = 2 * n; grace = 0. } in
    let give _ t =
      last := Some t;
      Atomic.set given (List.init n (fun _ -> Otel.start_span ~parent:Root "s"));
      until ((i * n) + 1)
    in
    ignore (exporting ~limits give);
    until ((i + 1) * n);
    let t = Option.get !last in
    Alcotest.(check (pair int int)) "nothing held" (0, 0) (Otel.held t);
    int "nothing queued" 0 (counts t Traces).queued;
    int "each is counted" n (exported t + dropped t)
  done

(* Other threads may add, and have no span. *)
let threads () =
  let last = ref None in
  let of_thread () =
    bool "no span" true (Otel.current () == Otel.none);
    for _ = 1 to 5 do
      Otel.add Logs ~scope:"thread" (Otel.Json.record [])
    done
  in
  Soil.run @@ fun () ->
  let c =
    exporting ~limits:{ limits with batch_items = 2 } (fun _ t ->
        last := Some t;
        Otel.with_span "outer" (fun _ -> Thread.join (Thread.create of_thread ())))
  in
  int "exported" 5 (counts (Option.get !last) Logs).exported;
  int "records" 5 (List.length (records c))

(* Settings of the environment. *)
let set = List.iter (fun (name, value) -> Unix.putenv name value)

let of_environment () =
  set
    [
      ("OTEL_SERVICE_NAME", "from env");
      ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other, a=1%2C2,=x,b, c = d ");
      ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://general:1/p/");
      ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://own:2/logs");
      ("OTEL_EXPORTER_OTLP_HEADERS", "x-a=1,x-b=2%203");
      ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
      ("OTEL_TRACES_SAMPLER_ARG", "0");
    ];
  let seen = ref [] and headers = ref [] and resource = ref [] in
  let handler request =
    let host = Option.value ~default:"" (Server.header request "host") in
    seen := (host ^ Server.path request) :: !seen;
    headers := Cohttp.Header.to_list (Server.head request).headers;
    let body = Yojson.Safe.from_string (Server.body_string request) in
    let kind = if Server.path request = "/logs" then "resourceLogs" else "resourceSpans" in
    resource := attributes Json.(member "resource" (index 0 (member kind body)));
    taken 0
  in
  Test.run handler (fun client ->
      T.scope @@ fun scope ->
      ignore (Otel.start ~client:(Test.client client) scope);
      Otel.add Logs ~scope:"s" (Otel.Json.record []);
      Otel.with_span "not recorded" (fun span -> bool "ratio 0" false (Otel.is_recording span));
      let parent = Option.get (Test_context.parsed [ traceparent () ]) in
      Otel.with_span ~parent:(Remote parent) "recorded" ignore);
  strings "requests" [ "general:1/p/v1/traces"; "own:2/logs" ] (List.sort String.compare !seen);
  string "header" "2 3" (List.assoc "x-b" !headers);
  strings "resource"
    [ "a=1,2"; "c=d"; "service.name=from env" ]
    (List.filter
       (fun s -> not (String.starts_with ~prefix:"telemetry." s))
       (List.sort String.compare !resource));
  set [ ("OTEL_SDK_DISABLED", "true") ];
  T.scope (fun scope ->
      ignore (Otel.start scope);
      bool "disabled" false (Otel.is_running ()))

let environment () =
  let names =
    [
      "SDK_DISABLED"; "SERVICE_NAME"; "RESOURCE_ATTRIBUTES"; "TRACES_SAMPLER"; "TRACES_SAMPLER_ARG";
      "EXPORTER_OTLP_ENDPOINT"; "EXPORTER_OTLP_LOGS_ENDPOINT"; "EXPORTER_OTLP_HEADERS";
    ] [@ocamlformat "disable"]
  in
  Fun.protect of_environment ~finally:(fun () ->
      set (List.map (fun name -> ("OTEL_" ^ name, "")) names))

let tests =
  let run (QCheck2.Test.Test cell as t) =
    Alcotest.test_case (QCheck2.Test.get_name cell) `Quick (fun () -> QCheck2.Test.check_exn t)
  in
  [
    test "items" bounds;
    test "what doesn't fit" overflow;
    test "bytes" bytes;
    test "all signals" shared;
    test "times" times;
    test "half of the bytes" half;
    run conservation;
    test "repetitions" retries;
    test "the last attempt" gives_up;
    test "refusals" refusals;
    test "partial success" partial;
    test "reasons" reasons;
    test "rejected points" points;
    test "connections" connections;
    test "responses" responses;
    test "the end" at_end;
    test "a failure" at_failure;
    test "a task that ends slowly" slow_end;
    test "the grace period" grace;
    test "the end in a pause" end_in_a_pause;
    test "environment" environment;
    Alcotest.test_case "domains" `Quick domains;
    Alcotest.test_case "the end of domains" `Quick end_of_domains;
    Alcotest.test_case "threads" `Quick threads;
  ]
