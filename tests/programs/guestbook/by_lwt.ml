open Lwt.Syntax

let limit = 2.

let append book line =
  Lwt_io.with_file book ~mode:Output ~flags:[ O_WRONLY; O_CREAT; O_APPEND ] @@ fun file ->
  Lwt_io.write_line file line

let visit book _address (input, output) =
  let say text =
    let* () = Lwt_io.write output text in
    Lwt_io.flush output
  in
  let rec next () =
    let* line = Lwt_unix.with_timeout limit (fun () -> Lwt_io.read_line_opt input) in
    match line with
    | None -> Lwt.return_unit
    | Some "?" ->
        let* text = Lwt_io.with_file book ~mode:Input Lwt_io.read in
        let* () = say text in
        next ()
    | Some line ->
        let* () = append book line in
        let* () = say ("thank you, " ^ line ^ "\n") in
        next ()
  in
  Lwt.catch next (function Lwt_unix.Timeout -> say "too late\n" | e -> Lwt.reraise e)

let () =
  Lwt_main.run
    (let address = Unix.ADDR_INET (Unix.inet_addr_any, 7000) in
     let* _ = Lwt_io.establish_server_with_client_address address (visit Sys.argv.(1)) in
     let* () = Lwt_io.printl "the guestbook is open" in
     fst (Lwt.wait ()))
