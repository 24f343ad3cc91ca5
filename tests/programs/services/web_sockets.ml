(* An echo of WebSocket messages, in capitals, on websocket-lwt-unix. *)

open Lwt.Syntax
open Websocket

let rec serve client =
  let send = Websocket_lwt_unix.Connected_client.send client in
  let* { Frame.opcode; content; _ } = Websocket_lwt_unix.Connected_client.recv client in
  match opcode with
  | Close -> send (Frame.close 1000)
  | Ping ->
      let* () = send (Frame.create ~opcode:Pong ~content ()) in
      serve client
  | _ ->
      let* () = send (Frame.create ~opcode ~content:(String.uppercase_ascii content) ()) in
      serve client

let () =
  let mode = `TCP (`Port (int_of_string Sys.argv.(1))) in
  let ctx = Lazy.force Conduit_lwt_unix.default_ctx in
  let serving = Websocket_lwt_unix.establish_server ~ctx ~mode serve in
  Lwt_main.run
    (let* () = Lwt.pause () in
     print_endline "ready";
     serving)
