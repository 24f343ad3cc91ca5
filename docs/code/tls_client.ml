module Tls = Soil_tls

let config = Tls.client_config [ Tls.Mozilla.roots ]

let () =
  Soil.run @@ fun () ->
  let connection = Soil.Tcp.connect_host "example.com" ~port:443 in
  Tls.with_client config ~host:"example.com" connection @@ fun c ->
  Soil.File_descriptor.write_string c "GET / HTTP/1.0\r\nHost: example.com\r\n\r\n";
  print_endline Soil.Reader.(line (create c))
