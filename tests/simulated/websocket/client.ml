(* Each request is a connection with ten frames that come back. *)

open Lwt.Syntax
open Simulated_load

let exchange connection i n =
  let content = Printf.sprintf "%d %d" i n in
  let* () = Websocket_lwt_unix.write connection (Websocket.Frame.create ~content ()) in
  let* frame = Websocket_lwt_unix.read connection in
  if frame.content <> content then wrong (Printf.sprintf "%S for %S" frame.content content);
  Lwt.return_unit

let request i =
  let uri = Uri.of_string (Printf.sprintf "http://%s/" Sys.argv.(1)) in
  let client = `TCP (`IP (Ipaddr.of_string_exn Sys.argv.(1)), `Port 80) in
  let* connection = within 2. (fun () -> Websocket_lwt_unix.connect client uri) in
  Lwt.finalize
    (fun () ->
      within 4. @@ fun () -> Lwt_list.iter_s (exchange connection i) (List.init 10 Fun.id))
    (fun () ->
      Lwt.catch
        (fun () -> within 1. (fun () -> Websocket_lwt_unix.close_transport connection))
        (fun _ -> Lwt.return_unit))

let () = run request (fun () -> Lwt.return_unit)
