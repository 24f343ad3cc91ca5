(* Each request has a connection, on which it prepares a statement and executes it ten times. *)

open Lwt.Syntax
open Simulated_load

module Thread = struct
  include Lwt

  let fail = Lwt.fail

  type in_channel = Lwt_io.input_channel
  type out_channel = Lwt_io.output_channel

  let open_connection address = Lwt_io.open_connection address
  let output_char = Lwt_io.write_char
  let output_binary_int = Lwt_io.BE.write_int
  let output_string = Lwt_io.write
  let flush = Lwt_io.flush
  let input_char = Lwt_io.read_char
  let input_binary_int = Lwt_io.BE.read_int
  let really_input = Lwt_io.read_into_exactly
  let close_in = Lwt_io.close
end

module Database = PGOCaml_generic.Make (Thread)

let execute connection text =
  let* rows = Database.execute connection ~params:[ Some text ] () in
  if rows <> [ [ Some text ] ] then wrong ("another row for " ^ text);
  Lwt.return_unit

let request i =
  let host = Sys.argv.(1) in
  let* connection =
    within 2. (fun () -> Database.connect ~host ~port:5432 ~user:"u" ~password:"" ~database:"d" ())
  in
  Lwt.finalize
    (fun () ->
      within 5. @@ fun () ->
      let* () = Database.prepare connection ~query:"select $1" () in
      let text n = Printf.sprintf "%d %d" i n in
      Lwt_list.iter_s (fun n -> execute connection (text n)) (List.init 10 Fun.id))
    (fun () ->
      Lwt.catch
        (fun () -> within 1. (fun () -> Database.close connection))
        (fun _ -> Lwt.return_unit))

let () = run request (fun () -> Lwt.return_unit)
