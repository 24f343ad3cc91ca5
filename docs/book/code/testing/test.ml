let () =
  Soil.run @@ fun () ->
  let client, server = Soil.Flow.pair () in
  let serve () =
    Lengths.answer server;
    Soil.File_descriptor.close server
  in
  let ask () =
    Soil.File_descriptor.write_string client "one\nthree\n\n";
    Soil.File_descriptor.shutdown client `Send;
    List.of_seq (Soil.Reader.Text.lines (Soil.Reader.create client))
  in
  let (), answers = Soil.Task.both serve ask in
  assert (answers = [ "3"; "5"; "0" ])
