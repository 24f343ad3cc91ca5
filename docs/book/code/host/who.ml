let answer connection =
  let peer = Soil.Tcp.peer connection in
  let address = Soil.Net.Address.to_string peer.address in
  Soil.File_descriptor.write_string connection (address ^ "\n")

let ask endpoint =
  let endpoint = Soil.Net.Endpoint.of_string endpoint in
  Soil.Tcp.with_connection endpoint @@ fun connection ->
  print_endline ("it sees " ^ Soil.Reader.(line (create connection)))

let () =
  Soil.run @@ fun () ->
  match Sys.argv with
  | [| _; endpoint |] -> ask endpoint
  | _ ->
      let listener = Soil.Tcp.listen ~port:7000 () in
      print_endline "listening";
      Soil.Tcp.serve listener answer
