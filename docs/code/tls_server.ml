module Tls = Soil_tls

let files = [ ("/disk/chain.pem", "/disk/key.pem") ]

let () =
  Soil.run @@ fun () ->
  let certificates = Tls.Files.certificates files in
  let config = Tls.server_config certificates in
  Soil.Tcp.serve (Soil.Tcp.listen ~port:443 ()) @@ fun connection ->
  let c = Soil.Task.timeout 10. (fun () -> Tls.server config connection) in
  Soil.File_descriptor.with_close c @@ fun c ->
  ignore (Soil.File_descriptor.copy ~src:c ~dst:c ());
  Soil.File_descriptor.shutdown c `Send
