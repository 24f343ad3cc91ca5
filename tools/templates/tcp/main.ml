(* An echo server on TCP port 7 (RFC 862). *)

let () =
  Soil.run @@ fun () ->
  let listener = Soil.Tcp.listen ~port:7 () in
  print_endline ("listening on " ^ Soil.Net.Endpoint.to_string (Soil.Tcp.local listener));
  Soil.Tcp.serve listener Echo.serve
