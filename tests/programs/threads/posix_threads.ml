(* Threads as C libraries use them: see posix.c. *)

external run : int -> unit = "posix_threads"

let () = run (int_of_string Sys.argv.(1))
