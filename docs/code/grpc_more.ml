module Server = Soil_grpc.Server
module Middleware = Soil_http.Middleware

let gzip =
  Soil_grpc.Encoding.v "gzip" ~compress:Soil_http_gzip.compress
    ~decompress:Soil_http_gzip.decompress

let observe call status seconds =
  Printf.printf "%s %s %.3f s\n%!" (Server.path call) (Soil_grpc.Status.to_string status) seconds

let app rpcs site =
  let descriptors = Soil.Fs.read_file "/protos/greeter.protoset" in
  let rpcs = Soil_grpc.Reflection.rpcs ~descriptors rpcs in
  let grpc =
    Server.handler ~encodings:[ gzip ] ~max_message:(1 lsl 20) ~max_seconds:600. ~web:true ~observe
      ~others:site rpcs
  in
  Middleware.cors ~origins:(Only [ "https://app.example.com" ])
    ~headers:("authorization" :: Server.web_headers)
    ~expose:Server.web_exposed () grpc
