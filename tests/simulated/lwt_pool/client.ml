(* A pool of two connections. "validate": each is tried before its use, and a broken one is not
   valid. "raise": the trial raises instead. *)

open Lwt.Syntax
open Simulated_load

type connection = {
  input : Lwt_io.input_channel;
  output : Lwt_io.output_channel;
  mutable broken : bool;
}

let size = 2
let alive = ref 0
let mode = if Array.length Sys.argv > 2 then Sys.argv.(2) else "plain"

let connect () =
  let* input, output = within 1. (fun () -> Lwt_io.open_connection (address ~port:7)) in
  incr alive;
  if !alive > size then wrong (Printf.sprintf "%d members in a pool of %d" !alive size);
  Lwt.return { input; output; broken = false }

let exchange connection line =
  Lwt.catch
    (fun () ->
      within 1. @@ fun () ->
      let* () = Lwt_io.write_line connection.output line in
      let* answer = Lwt_io.read_line connection.input in
      if answer <> line then wrong (Printf.sprintf "%S for %S" answer line);
      Lwt.return_unit)
    (fun e ->
      connection.broken <- true;
      Lwt.reraise e)

let validate connection =
  let trial () =
    let* () = exchange connection "ping" in
    Lwt.return_true
  in
  match mode with
  | "validate" -> Lwt.catch trial (fun _ -> Lwt.return_false)
  | "raise" -> trial ()
  | _ -> Lwt.return_true

(* Both channels are aborted, so that this doesn't fail. *)
let dispose connection =
  decr alive;
  let* () = Lwt_io.abort connection.input in
  Lwt_io.abort connection.output

let check connection is_ok = is_ok (not connection.broken)
let pool = Lwt_pool.create size ~validate ~check ~dispose connect

let () =
  run
    (fun i -> Lwt_pool.use pool (fun connection -> exchange connection (string_of_int i)))
    (fun () -> Lwt_pool.clear pool)
