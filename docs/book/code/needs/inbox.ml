let data = Soil.Needs.volume "data" ~file_systems:[ `Ext4 ] ~doc:"what comes"
let port = Soil.Needs.port "inbox" 90
let () = Soil.Needs.memory (Soil.Needs.mib 96)

let () =
  Soil.run @@ fun () ->
  let listener = Soil.Tcp.listen ~port () in
  Soil.Net.wait_up ();
  print_endline "listening";
  Soil.Tcp.serve listener @@ fun connection ->
  Soil.Fs.append_file (data ^ "/inbox") (Soil.File_descriptor.read_all connection);
  Soil.Fs.sync_all ();
  Soil.File_descriptor.write_string connection "kept\n"
