(* Lines of 80 characters on the console, each written at once. Argument: their number. *)

let () =
  let line = String.make 80 'x' in
  print_endline "begin";
  for _ = 1 to int_of_string Sys.argv.(1) do
    print_endline line
  done;
  print_endline "end"
