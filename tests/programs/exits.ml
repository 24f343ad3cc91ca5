(* at_exit functions in reverse order, output flushed, also when one of them raises. *)
let () =
  at_exit (fun () -> print_string "first registered, last run\n");
  at_exit (fun () -> print_string "second\n");
  at_exit (fun () -> print_string "third\n");
  print_string "main ends\n"
