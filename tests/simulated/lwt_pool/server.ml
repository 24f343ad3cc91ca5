(* Echoes lines, by Lwt_io's server. *)

open Lwt.Syntax

let serve _ (input, output) =
  let rec loop () =
    let* line = Lwt_io.read_line_opt input in
    match line with
    | None -> Lwt.return_unit
    | Some line ->
        let* () = Lwt_io.write_line output line in
        loop ()
  in
  Lwt.catch loop (fun _ -> Lwt.return_unit)

let () =
  Sys.set_signal Sys.sigpipe Signal_ignore;
  Lwt_unix.set_default_async_method Async_none;
  (Lwt.async_exception_hook := fun _ -> ());
  Lwt_main.run
    (let address = Unix.ADDR_INET (Unix.inet_addr_any, 7) in
     let* _ = Lwt_io.establish_server_with_client_address address serve in
     fst (Lwt.wait ()))
