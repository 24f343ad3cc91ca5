(* Each request is a connection with ten frames that come back, and a closing handshake. "reading":
   afterwards it is read until that fails. *)

open Lwt.Syntax
open Simulated_load

let exchange connection i n =
  let content = Printf.sprintf "%d %d" i n in
  let* () = Websocket_lwt_unix.write connection (Websocket.Frame.create ~content ()) in
  let* frame = Websocket_lwt_unix.read connection in
  if frame.content <> content then wrong (Printf.sprintf "%S for %S" frame.content content);
  Lwt.return_unit

let quietly f = Lwt.catch (fun () -> within 4. f) (fun _ -> Lwt.return_unit)

let rec read_all connection =
  let* _ = Websocket_lwt_unix.read connection in
  read_all connection

let close connection =
  let* () = quietly (fun () -> Websocket_lwt_unix.close_transport connection) in
  if Array.mem "reading" Sys.argv then read_all connection else Lwt.return_unit

(* The masks of frames. *)
let random_string n = String.init n (fun _ -> Char.chr (Random.int 256))

let request i =
  let uri = Uri.of_string (Printf.sprintf "http://%s/" Sys.argv.(1)) in
  let client = `TCP (`IP (Ipaddr.of_string_exn Sys.argv.(1)), `Port 80) in
  let* connection = within 2. (fun () -> Websocket_lwt_unix.connect ~random_string client uri) in
  Lwt.finalize
    (fun () ->
      within 4. @@ fun () ->
      let* () = Lwt_list.iter_s (exchange connection i) (List.init 10 Fun.id) in
      let* () = Websocket_lwt_unix.write connection (Websocket.Frame.close 1000) in
      let* frame = Websocket_lwt_unix.read connection in
      if frame.opcode <> Close then wrong "another frame than Close";
      Lwt.return_unit)
    (fun () -> quietly (fun () -> close connection))

let () =
  Random.self_init ();
  run request (fun () -> Lwt.return_unit)
