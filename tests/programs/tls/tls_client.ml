(* tls_client FOLDER HOST NAME PORT…: asks HOST for / on each PORT as NAME, trusting FOLDER's
   authority.pem and its list revoked.crl, and showing client.test.pem; says what came of it.
   silent.test has a second. *)

module D = Soil.File_descriptor
module Tls = Soil_tls

let () =
  Soil.run @@ fun () ->
  let folder = Sys.argv.(1) and host = Sys.argv.(2) in
  let file name = folder ^ "/" ^ name in
  let certificates = Tls.Files.certificates [ (file "client.test.pem", file "client.test.key") ] in
  let revoked = Tls.Files.revoked (file "revoked.crl") in
  let config =
    Tls.client_config ~certificates ~revoked [ Tls.Files.roots (file "authority.pem") ]
  in
  let ask name port =
    let connection = Patience.insist (fun () -> Soil.Tcp.connect_host host ~port) in
    Tls.with_client config ~host:name connection @@ fun c ->
    D.write_string c ("GET / HTTP/1.0\r\nHost: " ^ name ^ "\r\n\r\n");
    let line = Soil.Reader.(line (create c)) in
    let version = match Tls.version c with Tls_1_2 -> "1.2" | Tls_1_3 -> "1.3" in
    String.concat " " [ version; (if Tls.resumed c then "resumed" else "full"); line ]
  in
  let rec go i =
    if i + 1 < Array.length Sys.argv then (
      let name = Sys.argv.(i) and port = int_of_string Sys.argv.(i + 1) in
      let outcome =
        let ask () = ask name port in
        match if name = "silent.test" then Soil.Task.timeout 1. ask else ask () with
        | line -> line
        | exception Soil.Task.Timeout _ -> "timed out"
        | exception Soil.Error.Error e ->
            (match e.code with Certificate -> "certificate: " | Tls -> "tls: " | _ -> "error: ")
            ^ if e.detail = "" then Soil.Error.message e.code else e.detail
      in
      print_endline (name ^ ": " ^ outcome);
      go (i + 2))
  in
  go 3
