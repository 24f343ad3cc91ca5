(* Gets bodies with a length, of which the server may end in the middle. "drain": a body that wasn't
   read in time is read to its end in the background, so that its connection is closed. *)

open Lwt.Syntax
open Simulated_load

let read body =
  let drain () =
    if Array.mem "drain" Sys.argv then
      Lwt.async (fun () ->
          Lwt.catch (fun () -> Cohttp_lwt.Body.drain_body body) (fun _ -> Lwt.return_unit))
  in
  Lwt.catch
    (fun () -> Cohttp_lwt.Body.to_string body)
    (fun e ->
      drain ();
      Lwt.reraise e)

let request i =
  let number = 20 + i in
  let uri = Uri.of_string (Printf.sprintf "http://%s/%d" Sys.argv.(1) number) in
  within 10. @@ fun () ->
  let* response, body = Cohttp_lwt_unix.Client.get uri in
  let* body = read body in
  if response.status <> `OK then failwith (Cohttp.Code.string_of_status response.status);
  let expected = 10_000 * number in
  if String.length body <> expected then
    wrong (Printf.sprintf "a body of %d bytes instead of %d" (String.length body) expected);
  Lwt.return_unit

let () = run request (fun () -> Lwt.return_unit)
