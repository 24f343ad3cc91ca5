external call : string -> unit = "test_fortified"

let () =
  print_endline "before";
  call Sys.argv.(1);
  print_endline "after"
