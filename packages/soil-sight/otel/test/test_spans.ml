(* Spans as they are sent. *)
open Collector

let span_text () =
  let c =
    exporting
      ~headers:[ ("api-key", "k") ]
      ~resource:[ ("host.name", `String "h\"1\n") ]
      (fun _ _ ->
        Otel.with_span ~kind:Server
          ~parent:
            (Remote
               (Option.get (Test_context.parsed ~state:[ "a=b" ] [ traceparent ~flags:"03" () ])))
          ~attributes:[ ("s", `String "x"); ("i", `Int min_int); ("f", `Float 0.1) ]
          "outer"
        @@ fun span ->
        Soil.Clock.sleep 2.;
        Otel.set_attributes span
          [ ("b", `Bool true); ("l", `Strings [ "a"; "b" ]); ("s", `String "y") ];
        Otel.add_event ~attributes:[ ("n", `Int 1) ] span "happened";
        Otel.with_span "inner" (fun inner ->
            Otel.set_name inner "renamed";
            Otel.set_status inner Ok);
        Otel.set_status span (Error "why"))
  in
  strings "requests" [ "/base/v1/traces" ] (paths c);
  string "header" "k" (Option.value ~default:"" (Cohttp.Header.get c.headers "api-key"));
  string "type" "application/json"
    (Option.value ~default:"" (Cohttp.Header.get c.headers "content-type"));
  let _, body = List.hd c.requests in
  let resource = Json.(member "resource" (index 0 (member "resourceSpans" body))) in
  string "resource" "h\"1\n" (attribute resource "host.name");
  string "service" "test" (attribute resource "service.name");
  string "sdk" "soil" (attribute resource "telemetry.sdk.name");
  strings "spans" [ "renamed"; "outer" ] (names (spans c));
  let outer = named c "outer" and inner = named c "renamed" in
  string "trace" trace_id (text "traceId" outer);
  string "parent" parent_id (text "parentSpanId" outer);
  string "state" "a=b" (text "traceState" outer);
  int "flags" 0x303 (number "flags" outer);
  int "flags of the inner one" 0x103 (number "flags" inner);
  string "trace of the inner one" trace_id (text "traceId" inner);
  string "parent of the inner one" (text "spanId" outer) (text "parentSpanId" inner);
  int "kind" 2 (number "kind" outer);
  int "kind of the inner one" 1 (number "kind" inner);
  strings "attributes"
    [ "i=" ^ string_of_int min_int; "f=0.1"; "b=true";
      {|l={"arrayValue":{"values":[{"stringValue":"a"},{"stringValue":"b"}]}}|}; "s=y" ]
    (attributes outer) [@ocamlformat "disable"];
  strings "events" [ "happened" ] (names (events outer));
  strings "its attributes" [ "n=1" ] (attributes (List.hd (events outer)));
  let time name = int_of_string (text name outer) in
  bool "duration" true (time "endTimeUnixNano" - time "startTimeUnixNano" >= 2_000_000_000);
  let ended = float (time "endTimeUnixNano") /. 1e9 in
  bool "time" true (Float.abs (ended -. Soil.Clock.now ()) < 3600.);
  int "status" 2 (status_code outer);
  string "message" "why" (text "message" (Json.member "status" outer));
  int "status of the inner one" 1 (status_code inner)

exception Odd of string

let exceptions () =
  let c =
    exporting (fun _ _ ->
        (match Otel.with_span "fails" (fun _ -> raise (Odd "x")) with
        | () -> Alcotest.fail "no exception"
        | exception Odd "x" -> ());
        match
          T.timeout 1. (fun () -> Otel.with_span "cancelled" (fun _ -> Soil.Clock.sleep 9.))
        with
        | () -> Alcotest.fail "no timeout"
        | exception T.Timeout _ -> ())
  in
  let fails = named c "fails" and cancelled = named c "cancelled" in
  int "status" 2 (status_code fails);
  strings "event" [ "exception" ] (names (events fails));
  let event = List.hd (events fails) in
  bool "type" true (String.ends_with ~suffix:"Odd" (attribute event "exception.type"));
  string "error" (attribute event "exception.type") (attribute fails "error.type");
  bool "message" true (String.ends_with ~suffix:{|Odd("x")|} (attribute event "exception.message"));
  int "cancelled: no error" 0 (status_code cancelled);
  string "cancelled" "cancelled" (attribute cancelled "error.type")

let tasks () =
  let c =
    exporting (fun _ _ ->
        bool "none" true (Otel.current () == Otel.none);
        Otel.with_span "outer" (fun outer ->
            T.both
              (fun () -> Otel.with_span "a" ignore)
              (fun () -> Otel.with_span ~parent:Root "b" ignore)
            |> ignore;
            let late = Otel.start_span "late" in
            bool "current" true (Otel.current () == outer);
            Otel.within late (fun () -> Otel.with_span "c" ignore);
            Otel.finish late;
            Otel.set_attribute late "key" (`Int 1);
            bool "over" false (Otel.is_recording late);
            Otel.finish late))
  in
  let parent name = text "parentSpanId" (named c name) in
  let id name = text "spanId" (named c name) in
  string "a task's parent" (id "outer") (parent "a");
  string "root" "" (parent "b");
  string "within" (id "late") (parent "c");
  strings "after the end" [] (attributes (named c "late"));
  strings "each once"
    [ "a"; "b"; "c"; "late"; "outer" ]
    (List.sort String.compare (names (spans c)))

let caps () =
  let limits = { limits with attributes = 3; events = 2; value_bytes = 5 } in
  let c =
    exporting ~limits (fun _ _ ->
        Otel.with_span "long name" @@ fun span ->
        for i = 1 to 5 do
          Otel.set_attribute span ("a" ^ string_of_int i) (`Int i);
          Otel.add_event span ("e" ^ string_of_int i)
        done;
        Otel.set_status span (Error "abcd\xc3\xa4");
        Otel.set_attribute span "a1" (`String "abcd\xc3\xa4");
        Otel.set_attribute span "a2" (`String "\xff\x00\x1f\"\\"))
  in
  let span = List.hd (spans c) in
  string "name" "long " (text "name" span);
  string "message" "abcd" (text "message" (Json.member "status" span));
  strings "attributes" [ "a3=3"; "a1=abcd"; "a2=\xef\xbf\xbd\x00\x1f\"\\" ] (attributes span);
  int "dropped attributes" 2 (number "droppedAttributesCount" span);
  strings "events" [ "e1"; "e2" ] (names (events span));
  int "dropped events" 3 (number "droppedEventsCount" span)

(* The key counts as it is sent. *)
let long_keys () =
  let key = String.make 300 'k' in
  let attributes = List.init 20 (fun i -> ("a" ^ string_of_int i, `Int i)) in
  let c =
    exporting (fun _ _ ->
        Otel.with_span "one" @@ fun span ->
        Otel.set_attribute span key (`Int 1);
        Otel.set_attribute span (key ^ "x") (`Int 2);
        Otel.add_event ~attributes span "event";
        Otel.add_event span "empty")
  in
  let span = List.hd (spans c) in
  strings "one" [ String.make 256 'k' ^ "=2" ] (Collector.attributes span);
  ints "of events" [ 4; 0 ] (List.map (number "droppedAttributesCount") (events span))

(* Whether the span of a link is remote isn't known. *)
let links () =
  let c =
    exporting (fun _ _ ->
        Otel.with_span "one" @@ fun one ->
        Otel.with_span "two" (fun two -> Otel.add_link two (Option.get (Otel.context one))))
  in
  int "flags" 3 (number "flags" (Json.index 0 (Json.member "links" (named c "two"))))

let not_running () =
  let ran = Otel.with_span "none" (fun span -> Otel.is_recording span) in
  bool "recorded" false ran;
  bool "started" true (Otel.start_span "none" == Otel.none);
  ignore
    (exporting (fun _ _ ->
         T.scope @@ fun scope ->
         match Otel.start scope with
         | _ -> Alcotest.fail "two exporters"
         | exception Invalid_argument _ -> ()));
  bool "over" false (Otel.is_running ())

let tests =
  [
    test "a span" span_text;
    test "exceptions" exceptions;
    test "tasks" tasks;
    test "attributes and events" caps;
    test "long keys" long_keys;
    test "links" links;
    test "not running" not_running;
  ]
