(* Full TLS handshakes in several domains, each of which is client and server over a pair of pipes,
   with one configuration of each for all. Arguments: DOMAINS SECONDS. Certificates: /certificates. *)

let () =
  let domains = int_of_string Sys.argv.(1) and seconds = float_of_string Sys.argv.(2) in
  Soil.run @@ fun () ->
  let file name = Soil.Fs.read_file ("/certificates/" ^ name) in
  let server =
    Soil_tls.(server_config ~sessions:0 (certificates [ (file "server.pem", file "server.key") ]))
  in
  let client = Soil_tls.(client_config ~sessions:0 [ pem (file "root.pem") ]) in
  let handshake () =
    let ours, theirs = Soil.Flow.pair () in
    Soil.Task.both
      (fun () ->
        Soil_tls.with_server server theirs (fun c -> Soil.File_descriptor.write_string c "x"))
      (fun () ->
        Soil_tls.with_client client ~host:"server.test" ours (fun c ->
            ignore (Soil.File_descriptor.read c (Bytes.create 1) 0 1)))
  in
  let finished = Atomic.make 0 and until = Soil.Clock.monotonic () +. seconds in
  Soil.Domain.each ~domains (fun _ ->
      while Soil.Clock.monotonic () < until do
        ignore (handshake ());
        Atomic.incr finished
      done);
  Printf.printf "%.0f handshakes/s\n" (float_of_int (Atomic.get finished) /. seconds)
