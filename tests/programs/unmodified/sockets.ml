(* Sockets of Unix over the loopback: one line for the answer of each call. The directory that is
   named is where sockets get names. *)

open Unix

external messages : unit -> unit = "messages"

let error_name = function
  | EAGAIN | EWOULDBLOCK -> "EAGAIN"
  | EBADF -> "EBADF"
  | EINVAL -> "EINVAL"
  | EINTR -> "EINTR"
  | ENOENT -> "ENOENT"
  | ENXIO -> "ENXIO"
  | EPIPE -> "EPIPE"
  | EACCES -> "EACCES"
  | ESPIPE -> "ESPIPE"
  | ENOTSOCK -> "ENOTSOCK"
  | EDESTADDRREQ -> "EDESTADDRREQ"
  | EMSGSIZE -> "EMSGSIZE"
  | EPROTOTYPE -> "EPROTOTYPE"
  | ENOPROTOOPT -> "ENOPROTOOPT"
  | EPROTONOSUPPORT -> "EPROTONOSUPPORT"
  | ESOCKTNOSUPPORT -> "ESOCKTNOSUPPORT"
  | EOPNOTSUPP -> "EOPNOTSUPP"
  | EAFNOSUPPORT -> "EAFNOSUPPORT"
  | EADDRINUSE -> "EADDRINUSE"
  | EADDRNOTAVAIL -> "EADDRNOTAVAIL"
  | ENETUNREACH -> "ENETUNREACH"
  | ECONNABORTED -> "ECONNABORTED"
  | ECONNRESET -> "ECONNRESET"
  | EISCONN -> "EISCONN"
  | ENOTCONN -> "ENOTCONN"
  | ECONNREFUSED -> "ECONNREFUSED"
  | EALREADY -> "EALREADY"
  | EINPROGRESS -> "EINPROGRESS"
  | ETIMEDOUT -> "ETIMEDOUT"
  | other -> error_message other

let label = ref ""

let check name f =
  let result =
    try f () with
    | Unix_error (e, _, _) -> error_name e
    | Not_found -> "Not_found"
    | e -> Printexc.to_string e
  in
  Printf.printf "%s %s: %s\n%!" !label name result

let int name f = check name (fun () -> string_of_int (f ()))
let bool name f = check name (fun () -> string_of_bool (f ()))

let unit name f =
  check name (fun () ->
      f ();
      "done")

(* Ports differ from run to run. *)
let show = function
  | ADDR_UNIX path -> if path = "" then "unnamed" else Filename.basename path
  | ADDR_INET (address, port) ->
      string_of_inet_addr address ^ if port = 0 then " without a port" else " with a port"

let address name f = check name (fun () -> show (f ()))
let send fd text = write_substring fd text 0 (String.length text)

let receive ?(flags = []) fd length =
  let bytes = Bytes.create length in
  let n = recv fd bytes 0 length flags in
  Bytes.sub_string bytes 0 n

let text name f = check name (fun () -> Printf.sprintf "%S" (f ()))

let in_thread f =
  let thread = Thread.create f () in
  fun () -> Thread.join thread

let close_all = List.iter close

let read_all fd =
  let buffer = Buffer.create 100 and bytes = Bytes.create 5000 in
  let rec go () =
    match read fd bytes 0 5000 with
    | 0 -> Buffer.contents buffer
    | n ->
        Buffer.add_subbytes buffer bytes 0 n;
        go ()
  in
  go ()

let rec write_all fd text at =
  if at < String.length text then
    write_all fd text (at + write_substring fd text at (String.length text - at))

let wait_for ?(read = []) ?(write = []) () =
  let readable, writable, _ = select read write [] 5. in
  (List.length readable, List.length writable)

let counts (a, b) = Printf.sprintf "%d %d" a b

(* A connection between two sockets of [domain], the address being [any]. *)
let connected domain any =
  let listener = socket domain SOCK_STREAM 0 in
  bind listener any;
  listen listener 5;
  let client = socket domain SOCK_STREAM 0 in
  connect client (getsockname listener);
  let server, _ = accept listener in
  close listener;
  (client, server)

let streams domain any =
  let listener = socket domain SOCK_STREAM 0 in
  address "fresh" (fun () -> getsockname listener);
  address "peer of none" (fun () -> getpeername listener);
  unit "accept unbound" (fun () -> ignore (accept listener));
  unit "bind" (fun () -> bind listener any);
  unit "bind twice" (fun () -> bind listener any);
  unit "listen" (fun () -> listen listener 5);
  address "listener" (fun () -> getsockname listener);
  bool "accepts" (fun () -> getsockopt listener SO_ACCEPTCONN);
  unit "receive of a listener" (fun () -> ignore (receive listener 1));
  set_nonblock listener;
  unit "accept nothing" (fun () -> ignore (accept listener));
  clear_nonblock listener;
  let client = socket domain SOCK_STREAM 0 in
  unit "receive unconnected" (fun () -> ignore (receive client 1));
  int "send unconnected" (fun () -> send client "x");
  unit "shutdown unconnected" (fun () ->
      let fd = socket domain SOCK_STREAM 0 in
      Fun.protect ~finally:(fun () -> close fd) (fun () -> shutdown fd SHUTDOWN_ALL));
  unit "connect" (fun () -> connect client (getsockname listener));
  unit "connect twice" (fun () -> connect client (getsockname listener));
  address "peer" (fun () -> getpeername client);
  let server = ref stdin in
  address "accept" (fun () ->
      let fd, peer = accept ~cloexec:true listener in
      server := fd;
      peer);
  let server = !server in
  bool "names agree" (fun () -> getpeername server = getsockname client);
  check "kind" (fun () -> if (fstat server).st_kind = S_SOCK then "socket" else "another");
  unit "seek" (fun () -> ignore (lseek server 0 SEEK_SET));
  int "send" (fun () -> send client "hello world");
  text "peek" (fun () -> receive ~flags:[ MSG_PEEK ] server 5);
  text "receive" (fun () -> receive server 5);
  text "the rest" (fun () -> receive server 100);
  check "nothing to read" (fun () -> counts (wait_for ~write:[ server ] ~read:[ server ] ()));
  set_nonblock server;
  text "receive nothing" (fun () -> receive server 5);
  clear_nonblock server;
  int "answer" (fun () -> send server "answer");
  check "ready" (fun () -> counts (wait_for ~read:[ client ] ()));
  text "receive the answer" (fun () -> receive client 100);
  let large = String.init 1_000_000 (fun i -> Char.chr (i land 255)) in
  let wait =
    in_thread (fun () ->
        write_all client large 0;
        shutdown client SHUTDOWN_SEND)
  in
  bool "a million bytes" (fun () -> read_all server = large);
  wait ();
  text "the end" (fun () -> receive server 5);
  int "send after shutdown" (fun () -> send client "x");
  int "the other way" (fun () -> send server "still");
  text "it arrives" (fun () -> receive client 100);
  let copy = dup server in
  close server;
  int "send by a copy" (fun () -> send copy "copy");
  close copy;
  text "receive from the copy" (fun () -> receive client 100);
  text "end of the copy" (fun () -> receive client 100);
  unit "close" (fun () -> close_all [ client; listener ]);
  unit "closed" (fun () -> ignore (receive client 1))

let endings domain any =
  let client, server = connected domain any in
  int "unread" (fun () -> send client "unread");
  check "wait" (fun () -> counts (wait_for ~read:[ server ] ()));
  close server;
  check "reset is readable" (fun () -> counts (wait_for ~read:[ client ] ()));
  text "receive a reset" (fun () -> receive client 5);
  text "and then" (fun () -> receive client 5);
  int "send after a reset" (fun () -> send client "x");
  close client;
  let client, server = connected domain any in
  setsockopt_optint server SO_LINGER (Some 0);
  close server;
  check "lingers" (fun () -> counts (wait_for ~read:[ client ] ()));
  text "receive" (fun () -> receive client 5);
  close client;
  let client, server = connected domain any in
  setsockopt_optint server SO_LINGER (Some 0);
  setsockopt_optint server SO_LINGER None;
  int "send" (fun () -> send server "x");
  close server;
  check "doesn't linger any more" (fun () -> counts (wait_for ~read:[ client ] ()));
  text "receive" (fun () -> receive client 5);
  text "receive the end" (fun () -> receive client 5);
  close client;
  let client, server = connected domain any in
  shutdown client SHUTDOWN_RECEIVE;
  text "receives no more" (fun () -> receive client 5);
  close_all [ client; server ]

let refused domain any =
  let listener = socket domain SOCK_STREAM 0 in
  bind listener any;
  let there = getsockname listener in
  let client = socket domain SOCK_STREAM 0 in
  unit "not listening" (fun () -> connect client there);
  close listener;
  unit "refused" (fun () -> connect client there);
  set_nonblock client;
  unit "in progress" (fun () -> connect client there);
  check "wait" (fun () -> counts (wait_for ~write:[ client ] ()));
  check "error" (fun () ->
      match getsockopt_error client with Some e -> error_name e | None -> "none");
  check "error again" (fun () ->
      match getsockopt_error client with Some e -> error_name e | None -> "none");
  close client;
  let listener = socket domain SOCK_STREAM 0 in
  bind listener any;
  listen listener 1;
  let client = socket domain SOCK_STREAM 0 in
  set_nonblock client;
  unit "connect" (fun () -> connect client (getsockname listener));
  check "wait" (fun () -> counts (wait_for ~write:[ client ] ()));
  check "no error" (fun () ->
      match getsockopt_error client with Some e -> error_name e | None -> "none");
  let other = socket domain SOCK_STREAM 0 in
  unit "address in use" (fun () -> bind other (getsockname listener));
  close_all [ client; listener; other ]

let datagrams domain any =
  let server = socket domain SOCK_DGRAM 0 and client = socket domain SOCK_DGRAM 0 in
  unit "bind" (fun () -> bind server any);
  let there = getsockname server in
  unit "listen" (fun () -> listen server 1);
  unit "accept" (fun () -> ignore (accept server));
  int "send to none" (fun () -> send client "x");
  let to_server text = sendto_substring client text 0 (String.length text) [] there in
  int "send" (fun () -> to_server "one");
  int "send nothing" (fun () -> to_server "");
  int "send more" (fun () -> to_server "three");
  int "too long" (fun () -> to_server (String.make 70_000 'x'));
  let bytes = Bytes.create 100 in
  check "receive" (fun () ->
      let n, from = recvfrom server bytes 0 2 [] in
      Printf.sprintf "%S %b" (Bytes.sub_string bytes 0 n) (from <> there));
  text "nothing" (fun () -> receive server 100);
  text "peek" (fun () -> receive ~flags:[ MSG_PEEK ] server 100);
  check "ready" (fun () -> counts (wait_for ~read:[ server ] ~write:[ server ] ()));
  text "more" (fun () -> receive server 100);
  set_nonblock server;
  text "no more" (fun () -> receive server 100);
  clear_nonblock server;
  address "peer" (fun () -> getpeername client);
  unit "connect" (fun () -> connect client there);
  bool "its peer" (fun () -> getpeername client = there);
  int "write" (fun () -> send client "written");
  text "read" (fun () -> receive server 100);
  close server;
  int "to nowhere" (fun () -> send client "x");
  check "error" (fun () ->
      ignore (wait_for ~read:[ client ] ());
      match getsockopt_error client with Some e -> error_name e | None -> "none");
  int "again" (fun () -> send client "x");
  check "wait" (fun () -> counts (wait_for ~read:[ client ] ()));
  text "refused" (fun () -> receive client 100);
  unit "shut down" (fun () -> shutdown client SHUTDOWN_ALL);
  int "after shutdown" (fun () -> send client "x");
  text "end" (fun () -> receive client 100);
  close client

let many domain any =
  let pairs = List.init 40 (fun _ -> connected domain any) in
  let servers = List.map snd pairs in
  List.iteri (fun i (client, _) -> if i mod 3 = 0 then ignore (send client "x")) pairs;
  let rec gather ready =
    let more, _, _ = select (List.filter (fun s -> not (List.mem s ready)) servers) [] [] 0.2 in
    if more = [] then List.length ready else gather (more @ ready)
  in
  int "of many ready" (fun () -> gather []);
  List.iter (fun (a, b) -> close_all [ a; b ]) pairs

let options name domain kind =
  label := name;
  let fd = socket domain kind 0 in
  List.iter
    (fun (name, option) ->
      bool name (fun () -> getsockopt fd option);
      bool (name ^ " set") (fun () ->
          setsockopt fd option true;
          getsockopt fd option);
      bool (name ^ " unset") (fun () ->
          setsockopt fd option false;
          getsockopt fd option))
    [
      ("SO_DEBUG", SO_DEBUG);
      ("SO_BROADCAST", SO_BROADCAST);
      ("SO_REUSEADDR", SO_REUSEADDR);
      ("SO_KEEPALIVE", SO_KEEPALIVE);
      ("SO_DONTROUTE", SO_DONTROUTE);
      ("SO_OOBINLINE", SO_OOBINLINE);
      ("SO_ACCEPTCONN", SO_ACCEPTCONN);
      ("TCP_NODELAY", TCP_NODELAY);
      ("IPV6_ONLY", IPV6_ONLY);
    ];
  List.iter
    (fun (name, option, value) ->
      int (name ^ " set") (fun () ->
          setsockopt_int fd option value;
          getsockopt_int fd option))
    [
      ("SO_SNDBUF", SO_SNDBUF, 10_000);
      ("SO_RCVBUF", SO_RCVBUF, 10_000);
      ("SO_RCVBUF small", SO_RCVBUF, 1);
      ("SO_TYPE", SO_TYPE, 1);
      ("SO_RCVLOWAT", SO_RCVLOWAT, 5);
      ("SO_SNDLOWAT", SO_SNDLOWAT, 5);
    ];
  int "SO_TYPE" (fun () -> getsockopt_int fd SO_TYPE);
  let linger () =
    match getsockopt_optint fd SO_LINGER with Some n -> string_of_int n | None -> "none"
  in
  check "SO_LINGER" linger;
  check "SO_LINGER set" (fun () ->
      setsockopt_optint fd SO_LINGER (Some 7);
      linger ());
  check "SO_LINGER unset" (fun () ->
      setsockopt_optint fd SO_LINGER None;
      linger ());
  let time () = Printf.sprintf "%g" (getsockopt_float fd SO_RCVTIMEO) in
  check "SO_RCVTIMEO" time;
  check "SO_RCVTIMEO set" (fun () ->
      setsockopt_float fd SO_RCVTIMEO 0.5;
      time ());
  close fd

let timeouts domain any =
  let client, server = connected domain any in
  setsockopt_float client SO_RCVTIMEO 0.1;
  text "timeout" (fun () -> receive client 1);
  setsockopt_float client SO_SNDTIMEO 0.1;
  unit "send timeout" (fun () ->
      while true do
        ignore (send client (String.make 100_000 'x'))
      done);
  close_all [ client; server ]

let pairs () =
  List.iter
    (fun (name, kind) ->
      label := name;
      let a, b = socketpair PF_UNIX kind 0 in
      address "name" (fun () -> getsockname a);
      address "peer" (fun () -> getpeername a);
      int "send" (fun () -> send a "one");
      int "send more" (fun () -> send a "two");
      text "receive" (fun () -> receive b 100);
      check "ready" (fun () -> counts (wait_for ~read:[ a ] ~write:[ a; b ] ()));
      let wait = in_thread (fun () -> ignore (send b "late")) in
      text "wait" (fun () -> receive a 100);
      wait ();
      shutdown a SHUTDOWN_SEND;
      int "after shutdown" (fun () -> send a "x");
      close b;
      int "to none" (fun () -> send a "x");
      close a)
    [
      ("pair of streams", SOCK_STREAM);
      ("pair of datagrams", SOCK_DGRAM);
      ("pair of packets", SOCK_SEQPACKET);
    ];
  label := "pairs";
  unit "of the Internet" (fun () -> ignore (socketpair PF_INET SOCK_STREAM 0));
  unit "raw" (fun () -> ignore (socketpair PF_UNIX SOCK_RAW 0))

let names directory =
  label := "names";
  let path = Filename.concat directory "socket" in
  let listener = socket PF_UNIX SOCK_STREAM 0 and client = socket PF_UNIX SOCK_STREAM 0 in
  unit "not there" (fun () -> connect client (ADDR_UNIX path));
  unit "no directory" (fun () -> bind listener (ADDR_UNIX (path ^ "/none/x")));
  unit "bind" (fun () -> bind listener (ADDR_UNIX path));
  address "name" (fun () -> getsockname listener);
  check "kind" (fun () -> if (stat path).st_kind = S_SOCK then "socket" else "another");
  unit "open" (fun () -> close (openfile path [ O_RDWR ] 0));
  let other = socket PF_UNIX SOCK_STREAM 0 in
  unit "in use" (fun () -> bind other (ADDR_UNIX path));
  unit "not listening" (fun () -> connect client (ADDR_UNIX path));
  unit "listen" (fun () -> listen listener 3);
  unit "connect" (fun () -> connect client (ADDR_UNIX path));
  let server, peer = accept listener in
  check "from" (fun () -> show peer);
  address "peer" (fun () -> getpeername client);
  int "send" (fun () -> send server "hello");
  text "receive" (fun () -> receive client 100);
  let datagram = socket PF_UNIX SOCK_DGRAM 0 in
  unit "of another type" (fun () -> connect datagram (ADDR_UNIX path));
  close_all [ server; client; listener; other; datagram ];
  let client = socket PF_UNIX SOCK_STREAM 0 in
  unit "closed" (fun () -> connect client (ADDR_UNIX path));
  unit "unlink" (fun () -> unlink path);
  bool "is there" (fun () -> Sys.file_exists path);
  unit "gone" (fun () -> connect client (ADDR_UNIX path));
  unit "a file" (fun () ->
      close (openfile path [ O_CREAT; O_WRONLY ] 0o600);
      connect client (ADDR_UNIX path));
  unlink path;
  close client

let errors () =
  label := "errors";
  unit "no socket" (fun () -> listen stdin 1);
  unit "raw" (fun () -> ignore (socket PF_UNIX SOCK_STREAM 99));
  unit "protocol" (fun () -> ignore (socket PF_INET SOCK_STREAM 17));
  let fd = socket PF_INET SOCK_STREAM 0 in
  unit "foreign address" (fun () -> bind fd (ADDR_INET (inet_addr_of_string "192.0.2.1", 0)));
  unit "family" (fun () -> connect fd (ADDR_UNIX "/x"));
  unit "broadcast" (fun () -> connect fd (ADDR_INET (inet_addr_of_string "255.255.255.255", 9)));
  close fd;
  let fd = socket PF_INET SOCK_DGRAM 0 in
  int "datagram to all" (fun () ->
      sendto_substring fd "x" 0 1 [] (ADDR_INET (inet_addr_of_string "255.255.255.255", 9)));
  int "to port 0" (fun () -> sendto_substring fd "x" 0 1 [] (ADDR_INET (inet_addr_loopback, 0)));
  close fd

let signals () =
  label := "signals";
  let seen = ref 0 in
  Sys.set_signal Sys.sigpipe (Sys.Signal_handle (fun _ -> incr seen));
  let a, b = socketpair PF_UNIX SOCK_STREAM 0 in
  close b;
  int "broken" (fun () -> send a "x");
  close a;
  let reading, writing = pipe () in
  close reading;
  int "broken pipe" (fun () -> send writing "x");
  close writing;
  int "signals" (fun () -> !seen);
  Sys.set_signal Sys.sigpipe Sys.Signal_ignore

(* A signal ends a wait: sent until the call has returned. *)
let interrupts () =
  label := "interrupts";
  let seen = ref 0 in
  Sys.set_signal Sys.sigusr1 (Sys.Signal_handle (fun _ -> incr seen));
  let interrupted name f =
    let over = ref false in
    let wait =
      in_thread (fun () ->
          ignore (Thread.sigmask SIG_BLOCK [ Sys.sigusr1 ]);
          while not !over do
            Thread.delay 0.02;
            kill (getpid ()) Sys.sigusr1
          done)
    in
    unit name f;
    over := true;
    wait ()
  in
  let a, b = socketpair PF_UNIX SOCK_STREAM 0 in
  interrupted "receive" (fun () -> ignore (receive a 1));
  interrupted "select" (fun () -> ignore (select [ a ] [] [] (-1.)));
  let any = ADDR_INET (inet_addr_loopback, 0) in
  let listener = socket PF_INET SOCK_STREAM 0 in
  bind listener any;
  listen listener 1;
  interrupted "accept" (fun () -> ignore (accept listener));
  let client, server = connected PF_INET any in
  interrupted "read" (fun () -> ignore (read client (Bytes.create 1) 0 1));
  interrupted "write" (fun () ->
      while true do
        ignore (single_write_substring client (String.make 100_000 'x') 0 100_000)
      done);
  let datagram = socket PF_INET SOCK_DGRAM 0 in
  bind datagram any;
  interrupted "datagram" (fun () -> ignore (receive datagram 1));
  bool "handled" (fun () -> !seen > 0);
  Sys.set_signal Sys.sigusr1 Sys.Signal_ignore;
  close_all [ a; b; listener; client; server; datagram ]

let lookups () =
  label := "lookups";
  let service name protocol =
    check name (fun () -> string_of_int (getservbyname name protocol).s_port)
  in
  service "http" "tcp";
  service "domain" "udp";
  service "nonesuch" "tcp";
  int "tcp" (fun () -> (getprotobyname "tcp").p_proto);
  check "udp" (fun () -> (getprotobynumber 17).p_name);
  check "localhost" (fun () ->
      getaddrinfo "localhost" "80" [ AI_FAMILY PF_INET; AI_SOCKTYPE SOCK_STREAM ]
      |> List.map (fun info -> show info.ai_addr)
      (* glibc has it for each line of /etc/hosts, and takes ::1 for 127.0.0.1. *)
      |> List.sort_uniq compare
      |> String.concat ", ");
  check "numeric" (fun () ->
      getaddrinfo "::1" "80" [ AI_NUMERICHOST; AI_SOCKTYPE SOCK_STREAM ]
      |> List.map (fun info -> show info.ai_addr)
      |> String.concat ", ");
  check "root" (fun () -> (getpwnam "root").pw_dir |> String.length |> ( < ) 0 |> string_of_bool)

let () =
  Sys.set_signal Sys.sigpipe Sys.Signal_ignore;
  let v4 = ADDR_INET (inet_addr_loopback, 0) and v6 = ADDR_INET (inet6_addr_loopback, 0) in
  let each name f =
    List.iter
      (fun (family, domain, any) ->
        label := name ^ " " ^ family;
        f domain any)
      [ ("v4", PF_INET, v4); ("v6", PF_INET6, v6) ]
  in
  each "streams" streams;
  each "endings" endings;
  each "refused" refused;
  each "datagrams" datagrams;
  each "many" many;
  each "timeouts" timeouts;
  options "tcp v4" PF_INET SOCK_STREAM;
  options "tcp v6" PF_INET6 SOCK_STREAM;
  options "udp v4" PF_INET SOCK_DGRAM;
  options "udp v6" PF_INET6 SOCK_DGRAM;
  options "unix" PF_UNIX SOCK_STREAM;
  pairs ();
  names Sys.argv.(1);
  errors ();
  signals ();
  interrupts ();
  messages ();
  lookups ()
