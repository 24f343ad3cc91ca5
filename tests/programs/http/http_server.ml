(* HTTP on port 8000, and HTTPS on 8443 with the certificate in the folder given as argument. *)

module Server = Soil_http.Server

let secure folder =
  let file name = folder ^ "/soil.test." ^ name in
  Soil_tls.server_config (Soil_tls.Files.certificates [ (file "pem", file "key") ])

let () =
  Soil.run @@ fun () ->
  let config = secure Sys.argv.(1) in
  let plain = Soil.Tcp.listen ~port:8000 () and tls = Soil.Tcp.listen ~port:8443 () in
  Soil.Net.wait_up ();
  print_endline "ready";
  Soil.Task.iter
    (fun (secure, listener) ->
      Server.serve ~limits:Answers.limits ?secure ~grace:60. listener Answers.answer)
    [ (None, plain); (Some (Soil_tls.server config), tls) ]
