(* An echo server of OCaml's Unix, with select. *)

let buffer = Bytes.create 4096

let serve fd =
  match Unix.read fd buffer 0 (Bytes.length buffer) with
  | 0 -> false
  | n ->
      let rec write from = if from < n then write (from + Unix.write fd buffer from (n - from)) in
      write 0;
      true
  | exception Unix.Unix_error ((ECONNRESET | ETIMEDOUT | EPIPE), _, _) -> false

let () =
  Sys.set_signal Sys.sigpipe Signal_ignore;
  let listener = Unix.socket ~cloexec:true PF_INET SOCK_STREAM 0 in
  Unix.setsockopt listener SO_REUSEADDR true;
  Unix.bind listener (ADDR_INET (Unix.inet_addr_any, 7));
  Unix.listen listener 16;
  let rec loop clients =
    let ready, _, _ = Unix.select (listener :: clients) [] [] (-1.) in
    let serve clients fd =
      if fd = listener then (
        let client, _ = Unix.accept ~cloexec:true listener in
        Unix.setsockopt client TCP_NODELAY true;
        client :: clients)
      else if serve fd then clients
      else (
        Unix.close fd;
        List.filter (( <> ) fd) clients)
    in
    loop (List.fold_left serve clients ready)
  in
  loop []
