(* A program with two threads. *)

let () = Thread.join (Thread.create print_endline "a second thread")
