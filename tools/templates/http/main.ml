(* An HTTP server on port 80. *)
module Server = Soil_http.Server

let log entry = print_endline (Server.entry_to_string entry)

let () =
  Soil.run @@ fun () ->
  let listener = Soil.Tcp.listen ~port:80 () in
  print_endline ("listening on " ^ Soil.Net.Endpoint.to_string (Soil.Tcp.local listener));
  Server.serve ~log listener Site.answer
