(* Calls every function of Unix, Sys, Thread and Domain: one line for each, with its name and an
   answer that is Linux's where the function does the same. *)

open Unix

let current = ref "Unix"

let row name f =
  let answer =
    try f () with
    | Unix_error (e, _, _) -> "Unix_error: " ^ error_message e
    | Sys_error text -> "Sys_error: " ^ text
    | Failure text -> "Failure: " ^ text
    | e -> Printexc.to_string e
  in
  print_endline (!current ^ "." ^ name ^ "\t" ^ answer)

let unit name f =
  row name (fun () ->
      f ();
      "done")

let bool name f = row name (fun () -> string_of_bool (f ()))
let int name f = row name (fun () -> string_of_int (f ()))
let text = row
let file = "/tmp/table.txt"
let folder = "/tmp/table.d"

let with_file f =
  let fd = openfile file [ O_RDWR; O_CREAT; O_TRUNC ] 0o644 in
  Fun.protect ~finally:(fun () -> close fd) (fun () -> f fd)

let with_pipe f =
  let input, output = pipe () in
  Fun.protect ~finally:(fun () -> List.iter close [ input; output ]) (fun () -> f input output)

let loopback port = ADDR_INET (inet_addr_loopback, port)

let with_socket kind f =
  let fd = socket PF_INET kind 0 in
  Fun.protect ~finally:(fun () -> close fd) (fun () -> f fd)

let with_pair f =
  with_socket SOCK_DGRAM (fun a ->
      bind a (loopback 0);
      with_socket SOCK_DGRAM (fun b -> f a b (getsockname a)))

let child f = match fork () with 0 -> f () | pid -> snd (waitpid [] pid) = WEXITED 0
let array = Bigarray.Array1.create Bigarray.char Bigarray.c_layout 4

let files () =
  unit "openfile" (fun () -> close (openfile file [ O_RDWR; O_CREAT; O_TRUNC ] 0o644));
  unit "close" (fun () -> close (openfile file [ O_RDONLY ] 0));
  int "write" (fun () -> with_file (fun fd -> write fd (Bytes.of_string "abcd") 0 4));
  int "write_substring" (fun () -> with_file (fun fd -> write_substring fd "abcd" 0 4));
  int "write_bigarray" (fun () -> with_file (fun fd -> write_bigarray fd array 0 4));
  int "single_write" (fun () -> with_file (fun fd -> single_write fd (Bytes.of_string "abcd") 0 4));
  int "single_write_substring" (fun () ->
      with_file (fun fd -> single_write_substring fd "abcd" 0 4));
  int "single_write_bigarray" (fun () -> with_file (fun fd -> single_write_bigarray fd array 0 4));
  let put fd =
    ignore (write_substring fd "abcd" 0 4);
    ignore (lseek fd 0 SEEK_SET)
  in
  int "read" (fun () ->
      with_file (fun fd ->
          put fd;
          read fd (Bytes.create 9) 0 9));
  int "read_bigarray" (fun () ->
      with_file (fun fd ->
          put fd;
          read_bigarray fd array 0 4));
  int "lseek" (fun () ->
      with_file (fun fd ->
          put fd;
          lseek fd 2 SEEK_END));
  int "fsync" (fun () ->
      with_file (fun fd ->
          put fd;
          fsync fd;
          0));
  int "ftruncate" (fun () ->
      with_file (fun fd ->
          put fd;
          ftruncate fd 2;
          (fstat fd).st_size));
  int "truncate" (fun () ->
      with_file (fun fd ->
          put fd;
          truncate file 3;
          (fstat fd).st_size));
  int "fstat" (fun () ->
      with_file (fun fd ->
          put fd;
          (fstat fd).st_size));
  int "stat" (fun () ->
      with_file (fun fd ->
          put fd;
          (stat file).st_size));
  bool "lstat" (fun () -> (lstat file).st_kind = S_REG);
  unit "access" (fun () -> access file [ R_OK; W_OK; F_OK ]);
  unit "chmod" (fun () -> chmod file 0o600);
  unit "fchmod" (fun () -> with_file (fun fd -> fchmod fd 0o600));
  unit "chown" (fun () -> chown file 1 1);
  unit "fchown" (fun () -> with_file (fun fd -> fchown fd 1 1));
  bool "utimes" (fun () ->
      utimes file 1e9 1e9;
      (stat file).st_mtime = 1e9);
  int "umask" (fun () ->
      let old = umask 0o022 in
      ignore (umask old);
      umask old);
  text "map_file" (fun () ->
      with_file (fun fd ->
          put fd;
          let map = map_file fd Bigarray.char Bigarray.c_layout true [| 4 |] in
          let map = Bigarray.array1_of_genarray map in
          map.{0} <- 'x';
          String.init 4 (fun i -> map.{i})));
  unit "lockf" (fun () -> with_file (fun fd -> lockf fd F_TLOCK 0));
  bool "isatty" (fun () -> with_file isatty);
  unit "link" (fun () -> link file (file ^ ".2"));
  unit "rename" (fun () -> rename (file ^ ".2") (file ^ ".3"));
  unit "unlink" (fun () -> unlink (file ^ ".3"));
  unit "symlink" (fun () -> symlink file (file ^ ".4"));
  bool "readlink" (fun () -> readlink (file ^ ".4") = file);
  bool "realpath" (fun () -> realpath (file ^ ".4") = file);
  bool "has_symlink" has_symlink;
  Sys.remove (file ^ ".4");
  unit "mkdir" (fun () -> mkdir folder 0o755);
  unit "opendir" (fun () -> closedir (opendir folder));
  text "readdir" (fun () ->
      let d = opendir folder in
      let a = readdir d in
      let b = readdir d in
      closedir d;
      String.concat " " (List.sort compare [ a; b ]));
  unit "rewinddir" (fun () ->
      let d = opendir folder in
      rewinddir d;
      closedir d);
  unit "closedir" (fun () -> closedir (opendir folder));
  text "chdir" (fun () ->
      chdir folder;
      let here = getcwd () in
      chdir "/";
      here);
  text "getcwd" getcwd;
  unit "rmdir" (fun () -> rmdir folder);
  unit "mkfifo" (fun () ->
      mkfifo (file ^ ".fifo") 0o600;
      Sys.remove (file ^ ".fifo"));
  bool "chroot" (fun () ->
      child (fun () ->
          chroot "/tmp";
          _exit 0))

let descriptors () =
  unit "dup" (fun () -> close (dup stdin));
  unit "dup2" (fun () ->
      with_file (fun fd ->
          let n = dup fd in
          dup2 fd n;
          close n));
  unit "pipe" (fun () -> with_pipe (fun _ _ -> ()));
  text "set_nonblock" (fun () ->
      with_pipe (fun i _ ->
          set_nonblock i;
          string_of_int (read i (Bytes.create 1) 0 1)));
  unit "clear_nonblock" (fun () -> with_pipe (fun i _ -> clear_nonblock i));
  unit "set_close_on_exec" (fun () -> with_pipe (fun i _ -> set_close_on_exec i));
  unit "clear_close_on_exec" (fun () -> with_pipe (fun i _ -> clear_close_on_exec i));
  unit "in_channel_of_descr" (fun () -> close_in (in_channel_of_descr (dup stdin)));
  unit "out_channel_of_descr" (fun () -> close_out (out_channel_of_descr (dup stdout)));
  bool "descr_of_in_channel" (fun () -> descr_of_in_channel Stdlib.stdin = stdin);
  bool "descr_of_out_channel" (fun () -> descr_of_out_channel Stdlib.stdout = stdout);
  int "stdin" (fun () -> (Obj.magic stdin : int));
  int "stdout" (fun () -> (Obj.magic stdout : int));
  int "stderr" (fun () -> (Obj.magic stderr : int));
  text "select" (fun () ->
      with_pipe (fun i o ->
          let r, w, _ = select [ i ] [ o ] [] 0. in
          Printf.sprintf "%d %d" (List.length r) (List.length w)));
  let terminal name f =
    row name (fun () ->
        with_pipe (fun i _ ->
            f i;
            "done"))
  in
  terminal "tcgetattr" (fun i -> ignore (tcgetattr i));
  terminal "tcsetattr" (fun i -> tcsetattr i TCSANOW (Obj.magic (Array.make 40 0)));
  terminal "tcdrain" tcdrain;
  terminal "tcflow" (fun i -> tcflow i TCOON);
  terminal "tcflush" (fun i -> tcflush i TCIFLUSH);
  terminal "tcsendbreak" (fun i -> tcsendbreak i 0)

let processes () =
  bool "fork" (fun () -> child (fun () -> _exit 0));
  bool "wait" (fun () -> match fork () with 0 -> _exit 0 | pid -> fst (wait ()) = pid);
  bool "waitpid" (fun () -> child (fun () -> _exit 0));
  (* Without a child, a program that could be executed would end this one. *)
  let nothing = "/nothing" in
  unit "execv" (fun () -> execv nothing [||]);
  unit "execve" (fun () -> execve nothing [||] [||]);
  unit "execvp" (fun () -> execvp nothing [||]);
  unit "execvpe" (fun () -> execvpe nothing [||] [||]);
  let started pid = snd (waitpid [] pid) = WEXITED 0 in
  bool "create_process" (fun () -> started (create_process "true" [| "true" |] stdin stdout stderr));
  bool "create_process_env" (fun () ->
      started (create_process_env "true" [| "true" |] (environment ()) stdin stdout stderr));
  bool "system" (fun () -> system "true" = WEXITED 0);
  let exited status = status = WEXITED 0 in
  let input name f = bool name (fun () -> exited (close_process_in (f ()))) in
  input "open_process_in" (fun () -> open_process_in "true");
  input "close_process_in" (fun () -> open_process_in "true");
  input "open_process_args_in" (fun () -> open_process_args_in "true" [| "true" |]);
  input "process_in_pid" (fun () ->
      let c = open_process_in "true" in
      ignore (process_in_pid c);
      c);
  let output name f = bool name (fun () -> exited (close_process_out (f ()))) in
  output "open_process_out" (fun () -> open_process_out "true");
  output "close_process_out" (fun () -> open_process_out "true");
  output "open_process_args_out" (fun () -> open_process_args_out "true" [| "true" |]);
  output "process_out_pid" (fun () ->
      let c = open_process_out "true" in
      ignore (process_out_pid c);
      c);
  let both name f = bool name (fun () -> exited (close_process (f ()))) in
  both "open_process" (fun () -> open_process "true");
  both "close_process" (fun () -> open_process "true");
  both "open_process_args" (fun () -> open_process_args "true" [| "true" |]);
  both "process_pid" (fun () ->
      let c = open_process "true" in
      ignore (process_pid c);
      c);
  let full name f = bool name (fun () -> exited (close_process_full (f ()))) in
  full "open_process_full" (fun () -> open_process_full "true" [||]);
  full "close_process_full" (fun () -> open_process_full "true" [||]);
  full "open_process_args_full" (fun () -> open_process_args_full "true" [| "true" |] [||]);
  full "process_full_pid" (fun () ->
      let c = open_process_full "true" [||] in
      ignore (process_full_pid c);
      c);
  bool "getpid" (fun () -> getpid () > 0);
  bool "getppid" (fun () -> getppid () >= 0);
  int "nice" (fun () ->
      (* That of a process is whatever `make test` runs at. *)
      let before = nice 0 in
      nice 0 - before);
  bool "setsid" (fun () ->
      child (fun () ->
          ignore (setsid ());
          _exit 0));
  int "getuid" getuid;
  int "geteuid" geteuid;
  int "getgid" getgid;
  int "getegid" getegid;
  unit "setuid" (fun () -> setuid 0);
  unit "setgid" (fun () -> setgid 0);
  bool "getgroups" (fun () -> Array.length (getgroups ()) >= 0);
  unit "setgroups" (fun () -> setgroups (getgroups ()));
  unit "initgroups" (fun () -> initgroups "root" 0);
  bool "environment" (fun () -> Array.length (environment ()) >= 0);
  bool "unsafe_environment" (fun () -> Array.length (unsafe_environment ()) >= 0);
  text "putenv" (fun () ->
      putenv "TABLE" "x";
      getenv "TABLE");
  text "getenv" (fun () -> getenv "TABLE");
  text "unsafe_getenv" (fun () -> unsafe_getenv "TABLE");
  text "error_message" (fun () -> error_message ENOENT);
  int "handle_unix_error" (fun () -> handle_unix_error (fun x -> x) 3)

let times_and_signals () =
  bool "time" (fun () -> time () > 1e9);
  bool "gettimeofday" (fun () -> gettimeofday () > 1e9);
  int "gmtime" (fun () -> (gmtime 1e9).tm_year);
  int "localtime" (fun () -> (localtime 1e9).tm_year);
  bool "mktime" (fun () -> fst (mktime (localtime 1e9)) = 1e9);
  bool "times" (fun () -> (times ()).tms_utime >= 0.);
  unit "sleep" (fun () -> sleep 0);
  unit "sleepf" (fun () -> sleepf 0.001);
  int "alarm" (fun () ->
      ignore (alarm 100);
      alarm 0);
  bool "setitimer" (fun () ->
      let none = { it_interval = 0.; it_value = 0. } in
      ignore (setitimer ITIMER_REAL { none with it_value = 100. });
      (setitimer ITIMER_REAL none).it_value > 90.);
  bool "getitimer" (fun () -> (getitimer ITIMER_REAL).it_value = 0.);
  Sys.set_signal Sys.sigusr1 (Signal_handle ignore);
  let me = getpid () in
  unit "kill" (fun () -> kill me Sys.sigusr1);
  unit "sigprocmask" (fun () -> ignore (sigprocmask SIG_BLOCK [ Sys.sigusr1 ]));
  kill me Sys.sigusr1;
  bool "sigpending" (fun () -> sigpending () = [ Sys.sigusr1 ]);
  unit "sigsuspend" (fun () -> sigsuspend []);
  ignore (sigprocmask SIG_UNBLOCK [ Sys.sigusr1 ]);
  unit "pause" (fun () ->
      Sys.set_signal Sys.sigalrm (Signal_handle ignore);
      let often = { it_interval = 0.01; it_value = 0.01 } in
      ignore (setitimer ITIMER_REAL often);
      pause ();
      ignore (setitimer ITIMER_REAL { it_interval = 0.; it_value = 0. }))

let names () =
  bool "getlogin" (fun () -> getlogin () <> "");
  text "getpwnam" (fun () -> (getpwnam "root").pw_name);
  text "getpwuid" (fun () -> (getpwuid 0).pw_name);
  text "getgrnam" (fun () -> (getgrnam "root").gr_name);
  text "getgrgid" (fun () -> (getgrgid 0).gr_name);
  bool "gethostname" (fun () -> gethostname () <> "");
  bool "gethostbyname" (fun () -> Array.length (gethostbyname "localhost").h_addr_list > 0);
  bool "gethostbyaddr" (fun () -> (gethostbyaddr inet_addr_loopback).h_name <> "");
  int "getprotobyname" (fun () -> (getprotobyname "tcp").p_proto);
  text "getprotobynumber" (fun () -> (getprotobynumber 17).p_name);
  int "getservbyname" (fun () -> (getservbyname "http" "tcp").s_port);
  text "getservbyport" (fun () -> (getservbyport 80 "tcp").s_name);
  bool "getaddrinfo" (fun () -> getaddrinfo "127.0.0.1" "80" [ AI_NUMERICHOST ] <> []);
  text "getnameinfo" (fun () ->
      (getnameinfo (loopback 80) [ NI_NUMERICHOST; NI_NUMERICSERV ]).ni_hostname);
  text "inet_addr_of_string" (fun () -> string_of_inet_addr (inet_addr_of_string "10.0.0.1"));
  text "string_of_inet_addr" (fun () -> string_of_inet_addr inet_addr_any);
  text "inet_addr_any" (fun () -> string_of_inet_addr inet_addr_any);
  text "inet_addr_loopback" (fun () -> string_of_inet_addr inet_addr_loopback);
  text "inet6_addr_any" (fun () -> string_of_inet_addr inet6_addr_any);
  text "inet6_addr_loopback" (fun () -> string_of_inet_addr inet6_addr_loopback);
  bool "is_inet6_addr" (fun () -> is_inet6_addr inet6_addr_any)

let sockets () =
  unit "socket" (fun () -> with_socket SOCK_STREAM ignore);
  unit "bind" (fun () -> with_socket SOCK_STREAM (fun s -> bind s (loopback 0)));
  unit "listen" (fun () ->
      with_socket SOCK_STREAM (fun s ->
          bind s (loopback 0);
          listen s 1));
  let connected f =
    with_socket SOCK_STREAM (fun l ->
        bind l (loopback 0);
        listen l 1;
        with_socket SOCK_STREAM (fun c ->
            connect c (getsockname l);
            let s, _ = accept l in
            Fun.protect ~finally:(fun () -> close s) (fun () -> f c s)))
  in
  unit "connect" (fun () -> connected (fun _ _ -> ()));
  unit "accept" (fun () -> connected (fun _ _ -> ()));
  int "send" (fun () -> connected (fun c _ -> send c (Bytes.of_string "abc") 0 3 []));
  int "send_substring" (fun () -> connected (fun c _ -> send_substring c "abc" 0 3 []));
  int "recv" (fun () ->
      connected (fun c s ->
          ignore (send_substring c "abc" 0 3 []);
          recv s (Bytes.create 9) 0 9 []));
  int "shutdown" (fun () ->
      connected (fun c s ->
          shutdown c SHUTDOWN_SEND;
          read s (Bytes.create 1) 0 1));
  bool "getsockname" (fun () -> connected (fun c _ -> domain_of_sockaddr (getsockname c) = PF_INET));
  bool "getpeername" (fun () -> connected (fun c s -> getpeername c = getsockname s));
  int "sendto" (fun () -> with_pair (fun _ b name -> sendto b (Bytes.of_string "abc") 0 3 [] name));
  int "sendto_substring" (fun () ->
      with_pair (fun _ b name -> sendto_substring b "abc" 0 3 [] name));
  int "recvfrom" (fun () ->
      with_pair (fun a b name ->
          ignore (sendto_substring b "abc" 0 3 [] name);
          fst (recvfrom a (Bytes.create 9) 0 9 [])));
  int "socketpair" (fun () ->
      let a, b = socketpair PF_UNIX SOCK_STREAM 0 in
      ignore (write_substring a "abc" 0 3);
      let n = read b (Bytes.create 9) 0 9 in
      close a;
      close b;
      n);
  bool "domain_of_sockaddr" (fun () -> domain_of_sockaddr (ADDR_UNIX "x") = PF_UNIX);
  let option name f = row name (fun () -> with_socket SOCK_STREAM f) in
  option "setsockopt" (fun s ->
      setsockopt s SO_KEEPALIVE true;
      string_of_bool (getsockopt s SO_KEEPALIVE));
  option "getsockopt" (fun s -> string_of_bool (getsockopt s TCP_NODELAY));
  option "setsockopt_int" (fun s ->
      setsockopt_int s SO_RCVBUF 65536;
      "done");
  option "getsockopt_int" (fun s -> string_of_bool (getsockopt_int s SO_RCVBUF > 0));
  option "setsockopt_optint" (fun s ->
      setsockopt_optint s SO_LINGER (Some 1);
      "done");
  option "getsockopt_optint" (fun s -> string_of_bool (getsockopt_optint s SO_LINGER = None));
  option "setsockopt_float" (fun s ->
      setsockopt_float s SO_RCVTIMEO 1.;
      "done");
  option "getsockopt_float" (fun s -> string_of_float (getsockopt_float s SO_RCVTIMEO));
  option "getsockopt_error" (fun s -> string_of_bool (getsockopt_error s = None));
  let opened f =
    with_socket SOCK_STREAM (fun l ->
        bind l (loopback 0);
        listen l 1;
        let input, output = open_connection (getsockname l) in
        Fun.protect ~finally:(fun () -> close_out output) (fun () -> f input))
  in
  unit "open_connection" (fun () -> opened ignore);
  unit "shutdown_connection" (fun () -> opened shutdown_connection);
  bool "establish_server" (fun () ->
      (* It never returns: an address that can't be bound is refused before it forks. *)
      with_socket SOCK_STREAM (fun l ->
          bind l (loopback 0);
          match
            establish_server (fun _ _ -> ()) (ADDR_INET (inet_addr_of_string "203.0.113.1", 1))
          with
          | () -> false
          | exception Unix_error (EADDRNOTAVAIL, _, _) -> true))

let of_sys () =
  current := "Sys";
  unit "chdir" (fun () -> Sys.chdir "/");
  text "getcwd" Sys.getcwd;
  unit "mkdir" (fun () -> Sys.mkdir folder 0o755);
  int "readdir" (fun () -> Array.length (Sys.readdir folder));
  bool "is_directory" (fun () -> Sys.is_directory folder);
  unit "rmdir" (fun () -> Sys.rmdir folder);
  bool "file_exists" (fun () -> Sys.file_exists file);
  bool "is_regular_file" (fun () -> Sys.is_regular_file file);
  unit "rename" (fun () -> Sys.rename file (file ^ ".5"));
  unit "remove" (fun () -> Sys.remove (file ^ ".5"));
  int "command" (fun () -> Sys.command "true");
  text "getenv" (fun () -> Sys.getenv "TABLE");
  bool "getenv_opt" (fun () -> Sys.getenv_opt "TABLE" = Some "x");
  bool "time" (fun () -> Sys.time () >= 0.);
  unit "set_signal" (fun () -> Sys.set_signal Sys.sigusr2 (Signal_handle ignore));
  bool "signal" (fun () -> Sys.signal Sys.sigusr2 Signal_default <> Signal_default);
  unit "catch_break" (fun () -> Sys.catch_break false);
  unit "poll_actions" Sys.poll_actions;
  int "opaque_identity" (fun () -> Sys.opaque_identity 1);
  text "runtime_variant" Sys.runtime_variant;
  bool "runtime_parameters" (fun () -> Sys.runtime_parameters () <> "");
  unit "enable_runtime_warnings" (fun () -> Sys.enable_runtime_warnings false);
  bool "runtime_warnings_enabled" Sys.runtime_warnings_enabled

let of_thread () =
  current := "Thread";
  int "create" (fun () ->
      let seen = ref 0 in
      Thread.join (Thread.create (fun () -> incr seen) ());
      !seen);
  unit "join" (fun () -> Thread.join (Thread.create ignore ()));
  bool "self" (fun () -> Thread.self () == Thread.self ());
  int "id" (fun () -> Thread.id (Thread.self ()));
  unit "delay" (fun () -> Thread.delay 0.001);
  unit "yield" Thread.yield;
  unit "exit" (fun () ->
      Thread.join (Thread.create (fun () -> (Thread.exit [@alert "-deprecated"]) ()) ()));
  bool "wait_timed_read" (fun () ->
      with_pipe (fun i _ -> (Thread.wait_timed_read [@alert "-deprecated"]) i 0.));
  bool "wait_timed_write" (fun () ->
      with_pipe (fun _ o -> (Thread.wait_timed_write [@alert "-deprecated"]) o 0.));
  bool "select" (fun () ->
      with_pipe (fun i _ -> (Thread.select [@alert "-deprecated"]) [ i ] [] [] 0. = ([], [], [])));
  bool "wait_pid" (fun () ->
      match fork () with
      | 0 -> _exit 0
      | pid -> fst ((Thread.wait_pid [@alert "-deprecated"]) pid) = pid);
  unit "sigmask" (fun () -> ignore (Thread.sigmask SIG_BLOCK [ Sys.sigusr1 ]));
  bool "wait_signal" (fun () ->
      Unix.kill (getpid ()) Sys.sigusr1;
      Thread.wait_signal [ Sys.sigusr1 ] = Sys.sigusr1);
  unit "set_uncaught_exception_handler" (fun () -> Thread.set_uncaught_exception_handler ignore);
  unit "default_uncaught_exception_handler" (fun () ->
      Thread.(set_uncaught_exception_handler default_uncaught_exception_handler))

let of_domain () =
  current := "Domain";
  unit "before_first_spawn" (fun () -> Domain.before_first_spawn ignore);
  bool "is_main_domain" Domain.is_main_domain;
  int "self" (fun () -> (Domain.self () :> int));
  int "self_index" Domain.self_index;
  unit "cpu_relax" Domain.cpu_relax;
  bool "recommended_domain_count" (fun () -> Domain.recommended_domain_count () >= 1);
  unit "at_exit" (fun () -> Domain.at_exit ignore);
  int "spawn" (fun () -> Domain.(join (spawn (fun () -> 1))));
  int "join" (fun () -> Domain.(join (spawn (fun () -> 1))));
  bool "get_id" (fun () ->
      let d = Domain.spawn ignore in
      let id = (Domain.get_id d :> int) in
      Domain.join d;
      id > 0)

let of_later (of_module, name, f) =
  current := of_module;
  row name f

let () =
  if Array.length Sys.argv > 1 then (
    (* The hours of two instants, in winter and in summer. *)
    let hour time = (localtime time).tm_hour in
    let print () = Printf.printf "%d %d\n%!" (hour 1735732800.) (hour 1751371200.) in
    print ();
    putenv "TZ" ":/etc/localtime";
    print ();
    _exit 0);
  files ();
  descriptors ();
  times_and_signals ();
  names ();
  sockets ();
  processes ();
  of_sys ();
  of_thread ();
  (* Before domains: their threads would take the signal that is sent to the program. *)
  List.iter of_later (Since_5_4.rows @ Since_5_5.rows);
  of_domain ();
  (* The caller sees the status. *)
  print_endline "Unix._exit\t0";
  _exit 0
