(* Calls: their spans on both sides, and the parent in metadata. *)
open Collector
module Grpc = Soil_grpc
module Client = Soil_otel_grpc.Client
module Method = Grpc.Method

let service = "test.Strings"
let bytes = Grpc.Codec.bytes
let echo = Method.unary ~service "Echo" bytes bytes
let split = Method.server_stream ~service "Split" bytes bytes
let join = Method.client_stream ~service "Join" bytes bytes
let chat = Method.two_way ~service "Chat" bytes bytes
let unknown = Method.unary ~service "Unknown" bytes bytes

let answer call text =
  match text with
  | "missing" -> Grpc.Status.fail Not_found "no such thing"
  | "parent" ->
      let values = Grpc.Metadata.find_all (Grpc.Server.metadata call) in
      String.concat " " (values "traceparent" @ values "tracestate")
  | "broken" -> failwith "broken"
  | text ->
      Otel.with_span "work" ignore;
      text

let all reader =
  let rec go l = match Grpc.Reader.next reader with Some v -> go (v :: l) | None -> List.rev l in
  go []

let rpcs =
  [
    Grpc.Server.unary echo answer;
    Grpc.Server.server_stream split (fun _ text send ->
        Otel.with_span "work" (fun _ -> String.iter (fun c -> send (String.make 1 c)) text));
    Grpc.Server.client_stream join (fun _ reader -> String.concat "" (all reader));
    Grpc.Server.two_way chat (fun _ reader send -> List.iter send (all reader));
  ]

let calls ~http2 () =
  let observed = ref 0 and parent = ref "" in
  let next _ _ _ = incr observed in
  let handler =
    Grpc.Server.handler ~observe:(Soil_otel_grpc.observe ~next) ~on_exception:(fun _ _ _ -> ()) rpcs
  in
  let fails code f =
    match f () with
    | _ -> Alcotest.fail "no failure"
    | exception Grpc.Status.Failed status ->
        string "code" (Grpc.Status.name code) (Grpc.Status.name status.code)
  in
  let c =
    exporting (fun _ _ ->
        Test.run ~http2 (Soil_otel_http.middleware ~accept:(fun _ -> true) () handler) @@ fun t ->
        let client = Grpc.Client.create (Test.client t) (Uri.of_string "http://server") in
        string "unary" "a" (Client.unary client echo "a");
        (* The caller's own doesn't belong to this parent. *)
        let metadata = [ ("traceparent", traceparent ()); ("tracestate", "a=b") ] in
        parent := Client.unary ~metadata client echo "parent";
        fails Not_found (fun () -> Client.unary client echo "missing");
        fails Unknown (fun () -> Client.unary client echo "broken");
        fails Unimplemented (fun () -> Client.unary client unknown "");
        strings "server stream" [ "a"; "b" ] (Client.server_stream client split "ab" all);
        string "client stream" "ab"
          (Client.client_stream client join (fun send -> List.iter send [ "a"; "b" ]));
        strings "two-way" [ "x" ]
          (Client.two_way client chat (fun sender reader ->
               Grpc.Client.send sender "x";
               Grpc.Client.finish sender;
               all reader)))
  in
  int "observed" 8 !observed;
  let of_kind kind = List.filter (fun span -> number "kind" span = kind) (spans c) in
  let servers = of_kind 2 and clients = of_kind 3 in
  let full = List.map (fun m -> service ^ "/" ^ m) in
  strings "clients"
    (full [ "Echo"; "Echo"; "Echo"; "Echo"; "Unknown"; "Split"; "Join"; "Chat" ])
    (names clients);
  strings "servers"
    (List.sort String.compare
       ("POST" :: full [ "Echo"; "Echo"; "Echo"; "Echo"; "Split"; "Join"; "Chat" ]))
    (List.sort String.compare (names servers));
  let server_of client =
    List.find (fun s -> text "parentSpanId" s = text "spanId" client) servers
  in
  let check i code client_status server_status =
    let client = List.nth clients i in
    let server = server_of client in
    string "client's code" code (attribute client "rpc.grpc.status_code");
    string "server's code" code (attribute server "rpc.grpc.status_code");
    int "client's status" client_status (status_code client);
    int "server's status" server_status (status_code server);
    string "system" "grpc" (attribute server "rpc.system");
    string "service" service (attribute server "rpc.service")
  in
  check 0 "0" 0 0;
  check 2 "5" 2 0;
  check 3 "2" 2 2;
  check 4 "12" 2 2;
  List.iter (fun i -> check i "0" 0 0) [ 5; 6; 7 ];
  string "method" "Echo" (attribute (List.hd clients) "rpc.method");
  let second = List.nth clients 1 in
  string "metadata"
    (String.concat "-" [ "00"; text "traceId" second; text "spanId" second; "03" ])
    !parent;
  List.iter
    (fun work ->
      bool "inside a call" true
        (List.exists (fun s -> text "spanId" s = text "parentSpanId" work) servers))
    (List.filter (fun span -> text "name" span = "work") (spans c))

let tests = [ test "calls" (calls ~http2:true); test "calls, HTTP/1.1" (calls ~http2:false) ]
