(* Gets bodies with a length, of which the server may end in the middle. *)

open Lwt.Syntax
open Simulated_load

let request i =
  let number = 50 + i in
  let uri = Uri.of_string (Printf.sprintf "http://%s/%d" Sys.argv.(1) number) in
  within 10. @@ fun () ->
  let* response, body = Cohttp_lwt_unix.Client.get uri in
  let* body = Cohttp_lwt.Body.to_string body in
  if response.status <> `OK then failwith (Cohttp.Code.string_of_status response.status);
  let expected = 1000 * number in
  if String.length body <> expected then
    wrong (Printf.sprintf "a body of %d bytes instead of %d" (String.length body) expected);
  Lwt.return_unit

let () = run request (fun () -> Lwt.return_unit)
