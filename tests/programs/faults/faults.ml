(* A fault in C of the kind that the argument names. *)
external fault : string -> unit = "test_fault"

let[@inline never] provoke kind =
  fault kind;
  print_endline "survived"

let () =
  print_endline "before";
  provoke Sys.argv.(1)
