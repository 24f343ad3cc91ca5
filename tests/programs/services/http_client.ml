(* A client on cohttp-lwt-unix: eight GETs at once, an answer in chunks, a body of a megabyte each
   way, a missing page, and a missing server. *)

open Lwt.Syntax
open Cohttp_lwt_unix

let get uri =
  let* response, body = Client.get uri in
  let+ text = Cohttp_lwt.Body.to_string body in
  (Cohttp.Code.code_of_status (Response.status response), text)

let () =
  let at path = Uri.with_path (Uri.of_string Sys.argv.(1)) path in
  Lwt_main.run
    (let* pages =
       Lwt_list.map_p (fun n -> get (at (Printf.sprintf "/page/%d" n))) (List.init 8 Fun.id)
     in
     List.iter (fun (code, text) -> Printf.printf "%d %s\n" code text) pages;
     let* code, text = get (at "/pieces") in
     Printf.printf "%d %s\n" code text;
     let sent = String.init 1_000_000 (fun index -> Char.chr (97 + (index mod 26))) in
     let* _, body =
       Client.post ~chunked:false ~body:(Cohttp_lwt.Body.of_string sent) (at "/capitals")
     in
     let* answer = Cohttp_lwt.Body.to_string body in
     Printf.printf "a megabyte: %b\n" (answer = String.uppercase_ascii sent);
     let* code, _ = get (at "/absent") in
     Printf.printf "absent: %d\n" code;
     Lwt.catch
       (fun () ->
         let+ _ = get (Uri.of_string Sys.argv.(2)) in
         print_endline "answered")
       (function
         | Unix.Unix_error (error, _, _) ->
             print_endline (Unix.error_message error);
             Lwt.return_unit
         | other -> Lwt.fail other))
