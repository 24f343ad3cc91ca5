let limit = 2.

let visit book connection =
  let input = Soil.Reader.create connection in
  let say = Soil.File_descriptor.write_string connection in
  let rec next () =
    match Soil.Task.timeout limit (fun () -> Soil.Reader.line_opt input) with
    | None -> ()
    | Some "?" ->
        say (Soil.Fs.read_file book);
        next ()
    | Some line ->
        Soil.Fs.append_file book (line ^ "\n");
        say ("thank you, " ^ line ^ "\n");
        next ()
  in
  try next () with Soil.Task.Timeout _ -> say "too late\n"

let () =
  Soil.run @@ fun () ->
  let listener = Soil.Tcp.listen ~port:7000 () in
  Soil.Net.wait_up ();
  print_endline "the guestbook is open";
  Soil.Tcp.serve listener (visit Sys.argv.(1))
