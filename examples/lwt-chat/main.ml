(* A chat room: a line that one client sends goes to all others. Nothing here knows of Soil. *)
open Lwt.Syntax

let clients : (int, Lwt_io.output_channel) Hashtbl.t = Hashtbl.create 16

(* A client that can't be written to leaves by the end of its input. *)
let tell output line =
  Lwt.catch
    (fun () ->
      let* () = Lwt_io.write_line output line in
      Lwt_io.flush output)
    (fun _ -> Lwt.return_unit)

let tell_others number line =
  let others n output rest = if n = number then rest else output :: rest in
  Lwt_list.iter_p (fun output -> tell output line) (Hashtbl.fold others clients [])

let rec chat number name input =
  let* line = Lwt_io.read_line_opt input in
  match line with
  | None -> Lwt.return_unit
  | Some "" -> chat number name input
  | Some line ->
      let* () = tell_others number (name ^ ": " ^ line) in
      chat number name input

let stay number name (input, output) =
  let announce text =
    let* () = tell_others number (name ^ text) in
    Lwt_io.printl (name ^ text)
  in
  Hashtbl.replace clients number output;
  let* () = announce " is here" in
  Lwt.finalize
    (fun () -> Lwt.catch (fun () -> chat number name input) (fun _ -> Lwt.return_unit))
    (fun () ->
      Hashtbl.remove clients number;
      announce " has left")

let last = ref 0

let serve _address (input, output) =
  incr last;
  let number = !last in
  let* () = Lwt_io.write output "Your name? " in
  let* () = Lwt_io.flush output in
  let* answer = Lwt_io.read_line_opt input in
  match Option.map String.trim answer with
  | None | Some "" -> Lwt.return_unit
  | Some name -> stay number name (input, output)

let port () =
  match Sys.argv with
  | [| _ |] -> 6667
  | [| _; port |] when int_of_string_opt port <> None -> int_of_string port
  | _ ->
      prerr_endline "usage: main [PORT]";
      exit 2

let () =
  let port = port () in
  let status =
    Lwt_main.run
    @@
    let stopped, stop = Lwt.wait () in
    let on signal status =
      ignore (Lwt_unix.on_signal signal (fun _ -> Lwt.wakeup_later stop status))
    in
    on Sys.sigint 130;
    on Sys.sigterm 143;
    let address = Unix.ADDR_INET (Unix.inet_addr_any, port) in
    let* server = Lwt_io.establish_server_with_client_address address serve in
    let* () = Lwt_io.printlf "chat listens on port %d" port in
    let* status = stopped in
    let* () = Lwt_io.shutdown_server server in
    print_endline "chat ends";
    Lwt.return status
  in
  exit status
