(* A server on cohttp-lwt-unix: PORT for HTTP, or PORT CERTIFICATE KEY for HTTPS by OpenSSL. *)

open Lwt.Syntax
open Cohttp_lwt_unix

let callback _connection request body =
  match Uri.path (Request.uri request) with
  | "/capitals" ->
      let* text = Cohttp_lwt.Body.to_string body in
      Server.respond_string ~status:`OK ~body:(String.uppercase_ascii text) ()
  | "/up" ->
      let* text = Cohttp_lwt.Body.to_string body in
      Server.respond_string ~status:`OK ~body:(string_of_int (String.length text) ^ "\n") ()
  | "/x" -> Server.respond_string ~status:`OK ~body:"here\n" ()
  | "/pieces" ->
      let body = Cohttp_lwt.Body.of_string_list [ "one "; "piece "; "after another\n" ] in
      Server.respond
        ~headers:(Cohttp.Header.init_with "transfer-encoding" "chunked")
        ~status:`OK ~body ()
  | path -> Server.respond_string ~status:`Not_found ~body:("no " ^ path ^ "\n") ()

let () =
  let port = int_of_string Sys.argv.(1) in
  let mode =
    if Array.length Sys.argv = 2 then `TCP (`Port port)
    else `TLS (`Crt_file_path Sys.argv.(2), `Key_file_path Sys.argv.(3), `No_password, `Port port)
  in
  let serving = Server.create ~mode (Server.make ~callback ()) in
  Lwt_main.run
    (let* () = Lwt.pause () in
     print_endline "ready";
     serving)
