(* HTTP/1.1, with and without TLS. *)
let () = Answers.serve ()
