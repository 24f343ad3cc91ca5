let () =
  Soil.run @@ fun () ->
  let listener = Soil.Tcp.listen ~port:7007 () in
  print_endline ("listening on " ^ Soil.Net.Endpoint.to_string (Soil.Tcp.local listener));
  let served = ref 0 in
  Soil.Tcp.serve listener @@ fun connection ->
  incr served;
  let greeting = "you are number " ^ string_of_int !served ^ "\n" in
  Soil.File_descriptor.write_string connection greeting
