let limit = 2.

let append book line =
  Lwt_io.with_file book ~mode:Output ~flags:[ O_WRONLY; O_CREAT; O_APPEND ] @@ fun file ->
  Lwt_io.write_line file line

let visit book connection =
  let input = Soil.Reader.create connection in
  let say = Soil.File_descriptor.write_string connection in
  let rec next () =
    match Soil.Task.timeout limit (fun () -> Soil.Reader.line_opt input) with
    | None -> ()
    | Some "?" ->
        let read () = Lwt_io.with_file book ~mode:Input Lwt_io.read in
        say (Soil_lwt.run_promise read);
        next ()
    | Some line ->
        Soil_lwt.run_promise (fun () -> append book line);
        say ("thank you, " ^ line ^ "\n");
        next ()
  in
  try next () with Soil.Task.Timeout _ -> say "too late\n"

let () =
  Soil_lwt.run @@ fun () ->
  let listener = Soil.Tcp.listen ~port:7000 () in
  Soil.Net.wait_up ();
  print_endline "the guestbook is open";
  Soil.Tcp.serve listener (visit Sys.argv.(1))
