(* HTTP on port 80 beside computations that never yield. Arguments: pool or blocking, and their
   number. *)

let compute () =
  let n = ref 1 in
  while Sys.opaque_identity !n <> 0 do
    n := !n * 5 lor 1
  done

let () =
  Io.run @@ fun () ->
  let listener = Io.listen 80 in
  print_endline "http ready on 80";
  Jobs.beside Sys.argv.(1) (int_of_string Sys.argv.(2)) compute @@ fun () ->
  Io.serve_chunks listener Requests.count ~response:Requests.response
