(* Blocking calls of OCaml's Unix: it sends numbered lines to the server whose name is its argument,
   and prints each that comes back. Failed connections are opened again. *)

let lines = 20

let connect host =
  match Unix.getaddrinfo host "7" [ AI_SOCKTYPE SOCK_STREAM ] with
  | [] -> failwith (host ^ ": no such node")
  | { ai_addr; _ } :: _ -> (
      let fd = Unix.socket ~cloexec:true PF_INET SOCK_STREAM 0 in
      Unix.setsockopt_float fd SO_RCVTIMEO 2.;
      try
        Unix.connect fd ai_addr;
        fd
      with e ->
        Unix.close fd;
        raise e)

let exchange fd line =
  let sent = Unix.write_substring fd line 0 (String.length line) in
  let into = Bytes.create sent in
  let rec read from =
    if from < sent then
      match Unix.read fd into from (sent - from) with 0 -> raise End_of_file | n -> read (from + n)
  in
  read 0;
  Bytes.to_string into

let () =
  Sys.set_signal Sys.sigpipe Signal_ignore;
  let host = Sys.argv.(1) in
  let rec run fd i =
    if i <= lines then
      let line = Printf.sprintf "%s %d" host i in
      match fd with
      | None -> (
          match connect host with
          | fd -> run (Some fd) i
          | exception Unix.Unix_error (error, call, _) ->
              Printf.printf "%s: %s\n%!" call (Unix.error_message error);
              Unix.sleepf 0.3;
              run None i)
      | Some fd -> (
          match exchange fd line with
          | answer ->
              print_endline ("echo " ^ answer);
              Unix.sleepf 0.2;
              run (Some fd) (i + 1)
          | exception (End_of_file | Unix.Unix_error _) ->
              Unix.close fd;
              run None i)
    else Option.iter Unix.close fd
  in
  run None 1;
  print_endline "done"
