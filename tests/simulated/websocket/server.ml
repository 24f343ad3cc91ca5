(* Echoes frames. *)

open Lwt.Syntax

let react client =
  let rec loop () =
    let* frame = Websocket_lwt_unix.Connected_client.recv client in
    match frame.opcode with
    | Close -> Websocket_lwt_unix.Connected_client.send client (Websocket.Frame.close 1000)
    | _ ->
        let* () = Websocket_lwt_unix.Connected_client.send client frame in
        loop ()
  in
  loop ()

let () =
  Sys.set_signal Sys.sigpipe Signal_ignore;
  Lwt_unix.set_default_async_method Async_none;
  (Lwt.async_exception_hook := fun _ -> ());
  let check_request _ = true in
  let on_exn _ = () in
  Lwt_main.run
    (Websocket_lwt_unix.establish_server ~check_request ~on_exn ~mode:(`TCP (`Port 80)) react)
