(* Answers a path of a number with so many times ten thousand of its last digit. A connection
   ends after two seconds. *)

open Lwt.Syntax

let request_handler _ reqd =
  let { Httpaf.Request.target; _ } = Httpaf.Reqd.request reqd in
  let number = int_of_string (String.sub target 1 (String.length target - 1)) in
  let body = String.make (10_000 * number) (Char.chr (Char.code '0' + (number mod 10))) in
  let length = string_of_int (String.length body) in
  let headers = Httpaf.Headers.of_list [ ("content-length", length) ] in
  Httpaf.Reqd.respond_with_string reqd (Httpaf.Response.create ~headers `OK) body

let error_handler _ ?request:_ _ respond =
  Httpaf.Body.Writer.close (respond (Httpaf.Headers.of_list [ ("content-length", "0") ]))

let () =
  Sys.set_signal Sys.sigpipe Signal_ignore;
  Lwt_unix.set_default_async_method Async_none;
  (Lwt.async_exception_hook := fun _ -> ());
  let handler address socket =
    let connection =
      Httpaf_lwt_unix.Server.create_connection_handler ~request_handler ~error_handler address
        socket
    in
    Lwt.pick [ connection; Lwt_unix.sleep 2. ]
  in
  Lwt_main.run
    (let address = Unix.ADDR_INET (Unix.inet_addr_any, 80) in
     let* _ = Lwt_io.establish_server_with_client_socket address handler in
     fst (Lwt.wait ()))
