(* Each request has a connection. The client closes the socket after five seconds: the request's
   handlers have to end then. *)

open Lwt.Syntax
open Simulated_load

let get socket number =
  let answer, resolver = Lwt.wait () in
  let resolve outcome = if Lwt.is_sleeping answer then Lwt.wakeup_later resolver outcome in
  let length = ref 0 in
  let response_handler (response : Httpaf.Response.t) body =
    let rec read () =
      let on_read _ ~off:_ ~len =
        length := !length + len;
        read ()
      in
      (* After an exception both handlers are called, this one first. *)
      let on_eof () =
        Lwt.async (fun () ->
            let* () = Lwt.pause () in
            resolve (Ok (response.status, !length));
            Lwt.return_unit)
      in
      Httpaf.Body.Reader.schedule_read body ~on_eof ~on_read
    in
    read ()
  in
  let error_handler = function
    | `Exn e -> resolve (Error (Printexc.to_string e))
    | `Malformed_response text -> resolve (Error text)
    | `Invalid_response_body_length _ -> resolve (Error "length")
  in
  let headers = Httpaf.Headers.of_list [ ("host", Sys.argv.(1)); ("connection", "close") ] in
  let request = Httpaf.Request.create ~headers `GET (Printf.sprintf "/%d" number) in
  let body = Httpaf_lwt_unix.Client.request ~error_handler ~response_handler socket request in
  Httpaf.Body.Writer.close body;
  answer

let request i =
  let number = 20 + i in
  let socket = Lwt_unix.socket PF_INET SOCK_STREAM 0 in
  let close () =
    if Lwt_unix.state socket = Closed then Lwt.return_unit
    else Lwt.catch (fun () -> Lwt_unix.close socket) (fun _ -> Lwt.return_unit)
  in
  Lwt.finalize
    (fun () ->
      let* () = within 2. (fun () -> Lwt_unix.connect socket (address ~port:80)) in
      let deadline =
        let* () = Lwt_unix.sleep 5. in
        (try Lwt_unix.shutdown socket SHUTDOWN_ALL with Unix.Unix_error _ -> ());
        fst (Lwt.task ())
      in
      let* outcome = Lwt.pick [ get socket number; deadline ] in
      match outcome with
      | Ok (`OK, length) when length = 10_000 * number -> Lwt.return_unit
      | Ok (`OK, length) ->
          wrong (Printf.sprintf "a body of %d bytes instead of %d" length (10_000 * number));
          Lwt.return_unit
      | Ok (status, _) -> failwith (Httpaf.Status.to_string status)
      | Error text -> failwith text)
    close

let () =
  (Lwt.async_exception_hook := fun _ -> ());
  run request (fun () -> Lwt.return_unit)
