(* The same server with Lwt, on its own engine; without the threads that Lwt starts for calls such as
   close. *)

open Lwt.Syntax

let serve fd =
  let buffer = Bytes.create 4096 in
  let rec write from n =
    if from = n then Lwt.return_unit
    else
      let* written = Lwt_unix.write fd buffer from (n - from) in
      write (from + written) n
  in
  let rec loop () =
    let* n = Lwt_unix.read fd buffer 0 (Bytes.length buffer) in
    if n = 0 then Lwt.return_unit
    else
      let* () = write 0 n in
      loop ()
  in
  let closed () = Lwt_unix.close fd in
  Lwt.finalize
    (fun () ->
      Lwt.catch loop (function Unix.Unix_error _ -> Lwt.return_unit | e -> Lwt.reraise e))
    closed

let () =
  Lwt_unix.set_default_async_method Async_none;
  if Array.mem "select" Sys.argv then Lwt_engine.set (new Lwt_engine.select);
  Lwt_main.run
  @@
  let listener = Lwt_unix.socket ~cloexec:true PF_INET SOCK_STREAM 0 in
  Lwt_unix.setsockopt listener SO_REUSEADDR true;
  let* () = Lwt_unix.bind listener (ADDR_INET (Unix.inet_addr_any, 7)) in
  Lwt_unix.listen listener 16;
  let rec accept () =
    let* client, _ = Lwt_unix.accept ~cloexec:true listener in
    Lwt.async (fun () -> serve client);
    accept ()
  in
  accept ()
