(* acme_ca PORT ADDRESS FILE: a CA on PORT that validates all names at ADDRESS, and writes its own
   certificate to FILE. Clients reach it at CA_HOST. *)
let () =
  let port = int_of_string Sys.argv.(1) and address = Sys.argv.(2) and file = Sys.argv.(3) in
  Soil.run @@ fun () ->
  Soil_mirage_crypto_rng.use_default ();
  let reach port = (Soil.Tcp.connect_host address ~port :> Ca.flow) in
  let ca = Ca.create reach in
  let pem = X509.Certificate.encode_pem ca.root in
  Out_channel.with_open_bin file (fun out -> output_string out pem);
  let listener = Soil.Tcp.listen ~port () in
  print_endline "ready";
  Soil_http.Server.serve listener (Ca.handler ca)
