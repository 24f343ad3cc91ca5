(* A fault in C: a null pointer, a write to code, an endless recursion, an illegal instruction. *)
external fault : string -> unit = "test_fault"

let[@inline never] provoke kind =
  fault kind;
  print_endline "survived"

let () =
  print_endline "before";
  provoke Sys.argv.(1)
