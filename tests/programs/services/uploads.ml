(* A server on lwt.unix: PORT. It keeps requests of any size until they are whole, answers a GET with
   "here", and an upload with its length. *)

open Lwt.Syntax

let content_length line =
  match String.split_on_char ':' line with
  | [ name; value ] when String.lowercase_ascii name = "content-length" ->
      int_of_string_opt (String.trim value)
  | _ -> None

let rec head input length =
  let* line = Lwt_io.read_line input in
  if line = "" then Lwt.return length
  else head input (Option.value ~default:length (content_length line))

let serve (input, output) =
  let* length = head input 0 in
  let body = Buffer.create 4096 in
  let rec receive () =
    if Buffer.length body = length then Lwt.return_unit
    else
      let* text = Lwt_io.read ~count:65536 input in
      if text = "" then Lwt.fail End_of_file
      else (
        Buffer.add_string body text;
        receive ())
  in
  let* () = receive () in
  let text =
    match Buffer.contents body with "" -> "here" | body -> string_of_int (String.length body)
  in
  let* () =
    Lwt_io.fprintf output "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s\n"
      (String.length text + 1)
      text
  in
  Lwt_io.flush output

let () =
  Sys.set_signal Sys.sigpipe Signal_ignore;
  Lwt.async_exception_hook := ignore;
  Lwt_main.run
    (let address = Unix.ADDR_INET (Unix.inet_addr_any, int_of_string Sys.argv.(1)) in
     let handle _ channels = Lwt.catch (fun () -> serve channels) (fun _ -> Lwt.return_unit) in
     let* _server = Lwt_io.establish_server_with_client_address ~backlog:100 address handle in
     print_endline "ready";
     fst (Lwt.wait ()))
