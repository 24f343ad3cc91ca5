(* serve.ml's HTTP on two processors. Argument: PORT. *)

let () =
  let port = int_of_string Sys.argv.(1) in
  Io.run @@ fun () ->
  let listener = Io.listen port in
  Processors.on_two @@ fun number ->
  if number = 1 then Printf.printf "http ready on %d\n%!" port;
  Io.serve_chunks listener Requests.count ~response:Requests.response
