(* SET and GET of Redis's protocol (RESP2), in memory. *)

open Lwt.Syntax

let table = Hashtbl.create 16

let answer = function
  | [ "SET"; key; value ] ->
      Hashtbl.replace table key value;
      "+OK\r\n"
  | [ "ECHO"; value ] -> Printf.sprintf "$%d\r\n%s\r\n" (String.length value) value
  | [ "GET"; key ] -> (
      match Hashtbl.find_opt table key with
      | None -> "$-1\r\n"
      | Some value -> Printf.sprintf "$%d\r\n%s\r\n" (String.length value) value)
  | command :: _ -> Printf.sprintf "-ERR unknown command '%s'\r\n" command
  | [] -> "-ERR no command\r\n"

let number line = int_of_string (String.sub line 1 (String.length line - 1))

let read_argument input =
  let* length = Lwt_io.read_line input in
  let argument = Bytes.create (number length) in
  let* () = Lwt_io.read_into_exactly input argument 0 (Bytes.length argument) in
  let* _ = Lwt_io.read_line input in
  Lwt.return (Bytes.to_string argument)

let serve _ (input, output) =
  let rec loop () =
    let* count = Lwt_io.read_line input in
    let* arguments =
      Lwt_list.map_s (fun _ -> read_argument input) (List.init (number count) Fun.id)
    in
    let* () = Lwt_io.write output (answer arguments) in
    let* () = Lwt_io.flush output in
    loop ()
  in
  Lwt.catch loop (fun _ -> Lwt.return_unit)

let () =
  Sys.set_signal Sys.sigpipe Signal_ignore;
  Lwt_unix.set_default_async_method Async_none;
  (Lwt.async_exception_hook := fun _ -> ());
  Lwt_main.run
    (let address = Unix.ADDR_INET (Unix.inet_addr_any, 6379) in
     let* _ = Lwt_io.establish_server_with_client_address address serve in
     fst (Lwt.wait ()))
