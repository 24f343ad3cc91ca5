(* HTTP on port 80 beside computations that never yield. Arguments: pool or blocking, and their
   number. *)

let response =
  Bytes.of_string
    (Printf.sprintf "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
       1024 (String.make 1024 'x'))

let compute () =
  let n = ref 1 in
  while Sys.opaque_identity !n <> 0 do
    n := !n * 5 lor 1
  done

(* A request of wrk comes in one chunk. *)
let one_request () _ length = if length > 0 then 1 else 0

let () =
  Io.run @@ fun () ->
  let listener = Io.listen 80 in
  print_endline "http ready on 80";
  Jobs.beside Sys.argv.(1) (int_of_string Sys.argv.(2)) compute @@ fun () ->
  Io.serve_chunks listener one_request ~response
