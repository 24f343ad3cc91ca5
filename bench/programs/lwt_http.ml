(* A server on cohttp-lwt-unix with a constant response of 1 KiB: PORT. *)

open Lwt.Syntax
open Cohttp_lwt_unix

let page = String.make 1024 'x'
let callback _connection _request _body = Server.respond_string ~status:`OK ~body:page ()

let () =
  let mode = `TCP (`Port (int_of_string Sys.argv.(1))) in
  let serving = Server.create ~mode (Server.make ~callback ()) in
  Lwt_main.run
    (let* () = Lwt.pause () in
     print_endline "ready";
     serving)
