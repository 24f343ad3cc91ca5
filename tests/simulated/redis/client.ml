(* A pool of two connections. Each request has a second for its commands, and unless the second
   argument is "patient" three seconds in all. *)

open Lwt.Syntax
open Simulated_load

let pool =
  let rec create () =
    Lwt.catch
      (fun () ->
        within 2. @@ fun () ->
        Redis_lwt.Pool.create ~size:2 (Redis_lwt.Client.connection_spec Sys.argv.(1)))
      (fun _ -> create ())
  in
  lazy (create ())

let in_all f = if Array.mem "patient" Sys.argv then f () else within 3. f

let commands i connection =
  let text = string_of_int i in
  within 1. @@ fun () ->
  let* _ = Redis_lwt.Client.set connection ("key" ^ text) text in
  let* value = Redis_lwt.Client.get connection ("key" ^ text) in
  (* The server may have lost it in between. *)
  if value <> Some text && value <> None then wrong (Option.get value ^ " for " ^ text);
  Lwt.return_unit

let () =
  let failed = ref false in
  let request i =
    let* pool = Lazy.force pool in
    Lwt.catch
      (fun () ->
        let* () = in_all (fun () -> Redis_lwt.Pool.with_connection pool (commands i)) in
        failed := false;
        Lwt.return_unit)
      (fun e ->
        failed := true;
        Lwt.reraise e)
  in
  (* In the calm a pool with its connections serves each request. *)
  run ~bursts:8 request (fun () ->
      if !failed then wrong "the last request failed, in the calm";
      Lwt.return_unit)
