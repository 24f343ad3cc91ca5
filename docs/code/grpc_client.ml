module Client = Soil_grpc.Client
module Status = Soil_grpc.Status

let () =
  Soil.run @@ fun () ->
  let http2 = Soil_http.Http2.client () in
  let http = Soil_http.Client.create ~http2 ~max_redirects:0 () in
  let client =
    Client.create ~retry:Client.default_retry http (Uri.of_string "http://10.0.0.7:50051")
  in
  (match Client.unary ~timeout:5. client Grpc_greeter.say_hello "Ada" with
  | message -> print_endline message
  | exception Status.Failed status -> prerr_endline (Status.to_string status));
  Client.server_stream ~timeout:5. client Grpc_greeter.say_hellos "Ada" (fun messages ->
      Soil_grpc.Reader.iter print_endline messages)
