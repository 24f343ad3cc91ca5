module Server = Soil_grpc.Server
module Status = Soil_grpc.Status
module Health = Soil_grpc.Health

let hello name =
  if name = "" then Status.fail Invalid_argument "no name";
  "Hello " ^ name

let say_hello _call name = hello name

let say_hellos _call name send =
  for _ = 1 to 3 do
    send (hello name);
    Soil.Clock.sleep 1.
  done

let () =
  Soil.run @@ fun () ->
  let rpcs =
    [
      Server.unary Grpc_greeter.say_hello say_hello;
      Server.server_stream Grpc_greeter.say_hellos say_hellos;
    ]
  in
  let app = Server.handler (rpcs @ Health.rpcs (Health.create ())) in
  let http2 = Soil_http.Http2.server () in
  Soil_http.Server.serve ~http2 (Soil.Tcp.listen ~port:50051 ()) app
