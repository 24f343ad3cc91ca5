(* The checked variants of glibc's string functions: what fits, and what must end the program. *)
external call : string -> unit = "test_fortified"

let () =
  print_endline "before";
  call Sys.argv.(1);
  print_endline "after"
