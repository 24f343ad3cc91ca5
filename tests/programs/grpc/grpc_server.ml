(* The server of gRPC's interoperability tests on port 50051, and over TLS on 8443 with the
   certificate in the folder given as argument; with health, reflection and gRPC-Web, and a page for
   browsers, which port 8080 has as well. *)

open Testing
module Server = Soil_grpc.Server
module Status = Soil_grpc.Status
module Metadata = Soil_grpc.Metadata
module Reader = Soil_grpc.Reader
module Health = Soil_grpc.Health
module Http = Soil_http.Server

let fail_if status = Option.iter (fun s -> Status.fail (Status.of_number s.code) s.message) status

let echo_metadata call =
  let metadata = Server.metadata call in
  let initial = "x-grpc-test-echo-initial" and trailing = "x-grpc-test-echo-trailing-bin" in
  Option.iter (Server.add_header call initial) (Metadata.find metadata initial);
  Option.iter (Server.add_trailer call trailing) (Metadata.find metadata trailing)

let check_compressed call expected =
  if expected && not (Server.was_compressed call) then
    Status.fail Invalid_argument "the request isn't compressed"

(* Says when a call begins, and when it is cancelled. *)
let noting name f =
  print_endline ("begun " ^ name);
  try f ()
  with Soil.Task.Cancelled as e ->
    print_endline ("cancelled " ^ name);
    raise e

let answer_unary call (r : simple) =
  echo_metadata call;
  check_compressed call r.expect_compressed;
  Server.set_compress call r.response_compressed;
  fail_if r.status;
  zeros r.response_size

let send_all call send parameters =
  List.iter
    (fun p ->
      if p.interval > 0. then Soil.Clock.sleep p.interval;
      Server.set_compress call p.compressed;
      send (zeros p.size))
    parameters

let answer_output call r send =
  noting "StreamingOutputCall" (fun () -> send_all call send r.parameters)

let answer_input call requests =
  noting "StreamingInputCall" @@ fun () ->
  Reader.fold
    (fun n r ->
      check_compressed call r.is_compressed;
      n + String.length r.body)
    0 requests

let answer_duplex call requests send =
  echo_metadata call;
  noting "FullDuplexCall" @@ fun () ->
  Reader.iter
    (fun (r : output) ->
      fail_if r.failure;
      send_all call send r.parameters)
    requests

let rpcs =
  [
    Server.unary empty_call (fun _ () -> ());
    Server.unary unary_call answer_unary;
    Server.server_stream streaming_output answer_output;
    Server.client_stream streaming_input answer_input;
    Server.two_way full_duplex answer_duplex;
  ]

let page _ =
  Http.string
    ~headers:(Cohttp.Header.init_with "content-type" "text/html; charset=utf-8")
    "<!doctype html><title>gRPC-Web</title><p>ready"

(* The tests of a busy host compare no times. *)
let limits = { Http.default_limits with idle_seconds = 300.; head_seconds = 120. }

let secure folder =
  let file name = folder ^ "/soil.test." ^ name in
  Soil_tls.server_config ~protocols:[ "h2" ]
    (Soil_tls.Files.certificates [ (file "pem", file "key") ])

let () =
  Soil.run @@ fun () ->
  let health = Health.create () in
  Health.set health service Serving;
  Health.set health "grpc.testing.Stopped" Not_serving;
  let rpcs =
    Soil_grpc.Reflection.rpcs
      ~descriptors:(Soil.Fs.read_file "/protos/testing.protoset")
      (rpcs @ Health.rpcs health)
  in
  let app = Server.handler ~encodings:[ gzip ] ~web:true ~others:page rpcs in
  let cors =
    Soil_http.Middleware.cors ~origins:Any ~headers:Server.web_headers ~expose:Server.web_exposed ()
  in
  let http2 = Soil_http.Http2.server () in
  let plain = Soil.Tcp.listen ~port:50051 () and other = Soil.Tcp.listen ~port:8080 () in
  let tls = Soil.Tcp.listen ~port:8443 () in
  let secure = Soil_tls.server (secure Sys.argv.(1)) in
  Soil.Net.wait_up ();
  print_endline "ready";
  Soil.Task.iter
    (fun (secure, listener) ->
      Http.serve ~limits ?secure ~http2 ~max_connections:2000 ~grace:60. listener (cors app))
    [ (None, plain); (None, other); (Some secure, tls) ]
