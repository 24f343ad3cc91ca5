(* A collector in the program, and what it has got. *)

module Otel = Soil_otel
module Server = Soil_http.Server
module Test = Soil_http.Test
module Json = Yojson.Safe.Util
module T = Soil.Task

let int = Alcotest.(check int)
let bool = Alcotest.(check bool)
let string = Alcotest.(check string)
let strings = Alcotest.(check (list string))
let ints = Alcotest.(check (list int))
let test name f = Alcotest.test_case name `Quick (fun () -> Soil.Virtual_clock.run f)

type t = {
  mutable requests : (string * Yojson.Safe.t) list; (* The newest first. *)
  mutable headers : Cohttp.Header.t;
  mutable failures : string list; (* What [on_failure] got. *)
  mutable scope : T.scope option; (* The exporter's. *)
  mutable respond : int -> Server.response; (* By the number of the request, from 1. *)
}

(* SOIL_OTEL_BODIES is a folder for all bodies: tests/cases/otel.py judges them. *)
let files = ref 0

let keep path body =
  match Sys.getenv_opt "SOIL_OTEL_BODIES" with
  | None -> ()
  | Some folder ->
      incr files;
      let name = Printf.sprintf "%04d-%s.json" !files (Filename.basename path) in
      Out_channel.with_open_bin (Filename.concat folder name) (fun channel ->
          output_string channel body)

let handler c request =
  let body = Server.body_string request and path = Server.path request in
  keep path body;
  c.headers <- (Server.head request).headers;
  c.requests <- (path, Yojson.Safe.from_string body) :: c.requests;
  c.respond (List.length c.requests)

let taken _ = Server.string "{}"

(* Shorter than its waits are for anything else. *)
let limits = { Otel.default_limits with metrics_seconds = 1e6 }

(* [f c t] while [t] exports to [c], which has all that was sent when this returns. *)
let exporting ?sampler ?(limits = limits) ?headers ?resource ?(respond = taken) f =
  let c =
    { requests = []; headers = Cohttp.Header.init (); failures = []; scope = None; respond }
  in
  Test.run (handler c) (fun client ->
      T.scope @@ fun scope ->
      c.scope <- Some scope;
      let t =
        Otel.start
          ~endpoint:(Uri.of_string "http://collector:4318/base")
          ~client:(Test.client client) ?sampler ~service:"test" ~limits ?headers ?resource
          ~on_failure:(fun text -> c.failures <- text :: c.failures)
          scope
      in
      f c t);
  c

let paths c = List.rev_map fst c.requests

(* The items of all requests for a signal, in their order, with the names of their scopes. *)
let items c path of_resource of_scope records =
  let of_request (requested, body) =
    if requested <> "/base/v1/" ^ path then []
    else
      List.concat_map
        (fun resource ->
          List.concat_map
            (fun scope ->
              let name = Json.(to_string (member "name" (member "scope" scope))) in
              List.map (fun item -> (name, item)) Json.(to_list (member records scope)))
            Json.(to_list (member of_scope resource)))
        Json.(to_list (member of_resource body))
  in
  List.concat_map of_request (List.rev c.requests)

let spans c = List.map snd (items c "traces" "resourceSpans" "scopeSpans" "spans")
let metrics c = items c "metrics" "resourceMetrics" "scopeMetrics" "metrics"
let records c = items c "logs" "resourceLogs" "scopeLogs" "logRecords"
let text name item = match Json.member name item with `String s -> s | _ -> ""
let number name item = match Json.member name item with `Int n -> n | _ -> 0
let names l = List.map (text "name") l
let named c name = List.find (fun span -> text "name" span = name) (spans c)

let value json =
  match json with
  | `Assoc [ ("stringValue", `String s) ] -> s
  | `Assoc [ ("intValue", `String s) ] -> s
  | `Assoc [ ("doubleValue", `Float x) ] -> string_of_float x
  | `Assoc [ ("boolValue", `Bool x) ] -> string_of_bool x
  | json -> Yojson.Safe.to_string json

(* Attributes as [key=value], in their order. *)
let attributes item =
  List.map
    (fun pair -> text "key" pair ^ "=" ^ value (Json.member "value" pair))
    Json.(to_list (member "attributes" item))

let attribute item key =
  let prefix = key ^ "=" in
  match List.find_opt (String.starts_with ~prefix) (attributes item) with
  | Some s -> String.sub s (String.length prefix) (String.length s - String.length prefix)
  | None -> ""

let events span = match Json.member "events" span with `List l -> l | _ -> []

let status_code span =
  match Json.member "status" span with `Null -> 0 | status -> number "code" status

let counts t signal = Otel.statistics t signal

(* Another program's context. *)
let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
let parent_id = "00f067aa0ba902b7"
let traceparent ?(flags = "01") () = String.concat "-" [ "00"; trace_id; parent_id; flags ]
