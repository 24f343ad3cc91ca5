(* HTTP without a parser: the constant response, and the number of requests in chunks. *)

let response =
  Bytes.of_string
    (Printf.sprintf "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
       1024 (String.make 1024 'x'))

(* The number of blank lines, which end requests without a body, in each chunk of a connection; a
   line end may be split over two chunks, so the state of the match is kept. *)
let count () =
  let state = ref 0 in
  fun chunk length ->
    let count = ref 0 in
    for i = 0 to length - 1 do
      state :=
        match (!state, Bytes.unsafe_get chunk i) with
        | 0, '\r' -> 1
        | 1, '\n' -> 2
        | 2, '\r' -> 3
        | 3, '\n' ->
            incr count;
            0
        | _, '\r' -> 1
        | _ -> 0
    done;
    !count
