(* Leaves with the status that the argument says, by way of at_exit. *)
let () =
  at_exit (fun () -> print_endline "at_exit runs");
  let status = int_of_string Sys.argv.(1) in
  Printf.printf "leaving with %d\n" status;
  exit status
