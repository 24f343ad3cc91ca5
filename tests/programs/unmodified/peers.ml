(* Sockets of Unix with peers on the network. `serve PORT`: echoes what TCP and UDP bring, both
   families, until a datagram says "quit". `client NAME PORT`: looks the name up, sends a line by TCP
   and by UDP and prints what comes back. `compute PORT`: listens, and computes for ever.
   `wait PORT`: listens, and waits for a line of its input. `attempt ADDRESS PORT SECONDS`: how a
   connection begins that is waited for no longer than that. *)

open Unix

let serve port =
  let listener = socket PF_INET6 SOCK_STREAM 0 and datagrams = socket PF_INET6 SOCK_DGRAM 0 in
  setsockopt listener SO_REUSEADDR true;
  List.iter (fun fd -> bind fd (ADDR_INET (inet6_addr_any, port))) [ listener; datagrams ];
  listen listener 100;
  print_endline "ready";
  let bytes = Bytes.create 65536 and count = ref 0 in
  let rec write_all fd at length =
    if length > 0 then
      let n = write fd bytes at length in
      write_all fd (at + n) (length - n)
  in
  let rec loop watched =
    let ready, _, _ = select watched [] [] (-1.) in
    if List.mem datagrams ready then (
      let n, from = recvfrom datagrams bytes 0 65536 [] in
      ignore (sendto datagrams bytes 0 n [] from);
      if Bytes.sub_string bytes 0 n = "quit" then (
        Printf.printf "connections: %d\n%!" !count;
        exit 0));
    let watched =
      if List.mem listener ready then (
        let fd, _ = accept listener in
        incr count;
        fd :: watched)
      else watched
    in
    let echo fd =
      if fd = listener || fd = datagrams || not (List.mem fd ready) then true
      else
        match read fd bytes 0 65536 with
        | 0 ->
            close fd;
            false
        | n ->
            write_all fd 0 n;
            true
        | exception Unix_error _ ->
            close fd;
            false
    in
    loop (List.filter echo watched)
  in
  loop [ listener; datagrams ]

(* Again where the C library gave the name server up after five seconds, which a busy host's may
   need. *)
let rec addresses ?(turns = 10) name port kind =
  let began = gettimeofday () in
  match getaddrinfo name port [ AI_SOCKTYPE kind ] with
  | [] when turns > 1 && gettimeofday () -. began > 4. ->
      addresses ~turns:(turns - 1) name port kind
  | found -> List.map (fun info -> info.ai_addr) found

let show = function
  | ADDR_INET (address, port) -> Printf.sprintf "%s:%d" (string_of_inet_addr address) port
  | ADDR_UNIX path -> path

let client name port =
  let found = addresses name port SOCK_STREAM in
  Printf.printf "addresses: %s\n%!" (String.concat " " (List.map show found));
  let receive, send = open_connection (List.hd found) in
  output_string send "hello\n";
  flush send;
  Printf.printf "tcp: %s\n%!" (input_line receive);
  shutdown_connection receive;
  Printf.printf "then: %S\n%!" (In_channel.input_all receive);
  let there = List.hd (addresses name port SOCK_DGRAM) in
  let fd = socket (domain_of_sockaddr there) SOCK_DGRAM 0 in
  connect fd there;
  ignore (write_substring fd "datagram" 0 8);
  let bytes = Bytes.create 100 in
  let n = read fd bytes 0 100 in
  Printf.printf "udp: %s\n" (Bytes.sub_string bytes 0 n)

let listener port =
  let listener = socket PF_INET SOCK_STREAM 0 in
  bind listener (ADDR_INET (inet_addr_any, port));
  listen listener 10;
  listener

let compute port =
  ignore (listener port);
  print_endline "computes";
  while true do
    ignore (Sys.opaque_identity port)
  done

let wait port =
  ignore (listener port);
  print_endline "waits";
  print_endline (input_line Stdlib.stdin)

(* The error of a connection that is begun without waiting for it. *)
let attempt address port seconds =
  let fd = socket PF_INET SOCK_STREAM 0 in
  set_nonblock fd;
  (try connect fd (ADDR_INET (inet_addr_of_string address, port))
   with Unix_error (EINPROGRESS, _, _) -> print_endline "in progress");
  let _, writable, _ = select [] [ fd ] [] seconds in
  if writable = [] then print_endline "not yet"
  else
    match getsockopt_error fd with
    | Some ECONNREFUSED -> print_endline "refused"
    | Some e -> print_endline (error_message e)
    | None -> print_endline "connected"

let () =
  match Array.to_list Sys.argv with
  | [ _; "serve"; port ] -> serve (int_of_string port)
  | [ _; "client"; name; port ] -> client name port
  | [ _; "compute"; port ] -> compute (int_of_string port)
  | [ _; "wait"; port ] -> wait (int_of_string port)
  | [ _; "attempt"; address; port; seconds ] ->
      attempt address (int_of_string port) (float_of_string seconds)
  | _ -> prerr_endline "usage: peers serve|client|compute|wait|attempt …"
