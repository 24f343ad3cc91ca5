let ask host words =
  let connection = Soil.Tcp.connect_host host ~port:7000 in
  Soil.File_descriptor.with_close connection @@ fun connection ->
  let answers = Soil.Reader.create connection in
  let one word =
    Soil.File_descriptor.write_string connection (word ^ "\n");
    word ^ ": " ^ Soil.Reader.line answers
  in
  List.map one words

let () =
  Soil.run @@ fun () ->
  let words = List.tl (Array.to_list Sys.argv) in
  List.iter print_endline (ask "127.0.0.1" words)
