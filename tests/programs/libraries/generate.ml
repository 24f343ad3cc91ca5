(* Writes the stubs of the bindings: in C, or in OCaml. *)
let () =
  let prefix = "test_foreign" and functions = (module Bindings.Functions : Cstubs.BINDINGS) in
  match Sys.argv.(1) with
  | "c" ->
      print_endline "#include \"functions.h\"";
      Cstubs.write_c Format.std_formatter ~prefix functions
  | _ -> Cstubs.write_ml Format.std_formatter ~prefix functions
