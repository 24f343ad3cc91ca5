let answer connection =
  let lines = Soil.Reader.create connection in
  let rec go () =
    let line = Soil.Task.timeout 60. (fun () -> Soil.Reader.line_opt ~max:1000 lines) in
    match line with
    | None -> ()
    | Some line ->
        Soil.File_descriptor.write_string connection (string_of_int (String.length line) ^ "\n");
        go ()
  in
  go ()

let () =
  Soil.run @@ fun () ->
  let listener = Soil.Tcp.listen ~port:7000 () in
  print_endline "listening";
  Soil.Tcp.serve listener answer
