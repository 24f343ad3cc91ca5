(* A client of OpenSSL that verifies: ADDRESS AUTHORITIES, then NAME PORT for each server. It says
   what is wrong with the server's certificate, or how its answer begins. *)

let attempt address authorities name port =
  let context = Ssl.create_context Ssl.TLSv1_3 Ssl.Client_context in
  Ssl.set_verify context [ Ssl.Verify_peer ] None;
  Ssl.load_verify_locations context authorities "";
  let plain = Unix.socket Unix.PF_INET Unix.SOCK_STREAM 0 in
  Unix.connect plain (Unix.ADDR_INET (address, port));
  let socket = Ssl.embed_socket plain context in
  Ssl.set_client_SNI_hostname socket name;
  Ssl.set_host socket name;
  (match Ssl.connect socket with
  | () ->
      Ssl.output_string socket "GET / HTTP/1.0\r\n\r\n";
      let buffer = Bytes.create 15 in
      let count = Ssl.read socket buffer 0 15 in
      Printf.printf "%s: %S\n%!" name (Bytes.sub_string buffer 0 count)
  | exception Ssl.Connection_error _ ->
      let result = Ssl.get_verify_result socket in
      Printf.printf "%s: %s\n%!" name (Ssl.get_verify_error_string result));
  Unix.close plain

let () =
  Ssl.init ();
  let address = Unix.inet_addr_of_string Sys.argv.(1) in
  let rec each = function
    | name :: port :: rest ->
        attempt address Sys.argv.(2) name (int_of_string port);
        each rest
    | _ -> ()
  in
  each (List.tl (List.tl (List.tl (Array.to_list Sys.argv))))
