type t = Ssl.socket

let connection context f fd =
  (try
     let c = Ssl.embed_socket fd context in
     Ssl.accept c;
     f c;
     ignore (Ssl.close_notify c)
   with _ -> ());
  Unix.close fd

let serve ~chain ~key f =
  Sys.set_signal Sys.sigpipe Sys.Signal_ignore;
  Ssl.init ~thread_safe:true ();
  let context = Ssl.create_context (TLSv1_3 [@warning "-3"]) Server_context in
  Ssl.set_min_protocol_version context TLSv1_2;
  Ssl.use_certificate_from_string context chain key;
  let listener = Unix.socket PF_INET SOCK_STREAM 0 in
  Unix.setsockopt listener SO_REUSEADDR true;
  Unix.bind listener (ADDR_INET (Unix.inet_addr_any, 443));
  Unix.listen listener 128;
  print_endline "ready";
  while true do
    let fd, _ = Unix.accept listener in
    Unix.setsockopt fd TCP_NODELAY true;
    ignore (Thread.create (connection context f) fd)
  done

let read c b off len = try Ssl.read c b off len with Ssl.Read_error Error_zero_return -> 0

let rec write c b off len =
  if len > 0 then
    let n = Ssl.write c b off len in
    write c b (off + n) (len - n)
