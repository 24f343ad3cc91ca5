(* A program that waits until it is requested to stop. *)

let () =
  Sys.set_signal Sys.sigterm (Signal_handle (fun _ -> print_endline "SIGTERM"));
  let socket = Unix.socket ~cloexec:true PF_INET SOCK_DGRAM 0 in
  Unix.bind socket (ADDR_INET (Unix.inet_addr_any, 5));
  print_endline "waits";
  match Unix.recvfrom socket (Bytes.create 1) 0 1 [] with
  | _ -> print_endline "a datagram"
  | exception Unix.Unix_error (error, call, _) ->
      Printf.printf "%s: %s\n" call (Unix.error_message error)
