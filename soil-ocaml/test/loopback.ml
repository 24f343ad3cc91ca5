(* TCP and UDP over the loopback, which need no link. With an argument, a listener on all addresses
   as well. *)

let () =
  Soil.run @@ fun () ->
  let listener = Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 () in
  let client = Soil.Tcp.connect (Soil.Tcp.local listener) in
  let server = Soil.Tcp.accept listener in
  Soil.File_descriptor.write_string server "over the loopback";
  Soil.File_descriptor.close server;
  print_endline (Soil.File_descriptor.read_all client);
  let socket = Soil.Udp.bind ~address:Soil.Net.loopback ~port:0 () in
  Soil.File_descriptor.close socket;
  if Array.length Sys.argv > 1 then Soil.File_descriptor.close (Soil.Tcp.listen ~port:0 ());
  print_endline "done"
